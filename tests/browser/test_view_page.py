"""The page of packs and samples, in a browser: it draws, answers to the mouse, and fits every screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelword.data.packing.packer import Packer
from pixelword.data.types import Fault
from pixelword.data.view import Sheet, pack_sheet, sample_sheet, write_page
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.types import Sample
from pixelword.processing.videos import Video

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LENGTH = 256  # of a row, shorter than the mask's canvas may be
HOSTILE = "</script><script>document.title = 'broken'</script><b>bold</b>"


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def sample(question: str, *parts: dict[str, Any]) -> Sample:
    content = [*parts, {"type": "text", "text": question}]
    return Sample(({"role": "user", "content": content}, {"role": "assistant", "content": "yes\nit does"}), "test")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> Path:
    """A pack of two rows, a sample of hostile words, and one that could not be read."""
    processor = NeoOVProcessor(NeoOVImageProcessor(min_pixels=1024, max_pixels=16384), tiny_tokenizer)
    pair = [{"type": "image", "image": picture(96, 64)}, {"type": "image", "image": picture(32, 64)}]
    clip = Video((picture(32, 32), picture(32, 32)), (0.0, 1.0), 2.0)
    samples = {
        "pair": sample("alike?", *pair),
        "clip": sample("moves?", {"type": "video", "video": clip}),
        "words": sample("only words"),
    }
    packer = Packer(2, LENGTH, processor.tokenizer.pad_token_id)
    for name, item in samples.items():
        assert packer.add(processor.encode(item.messages), name)
    sheets = [
        pack_sheet(packer.pack(), 0),
        sample_sheet(sample(HOSTILE), HOSTILE, "hostile", processor),
        Sheet("lost.jsonl:3", "lost", None, (), (Fault("lost.jsonl:3", f"no such picture {HOSTILE}"),)),
    ]
    path = tmp_path_factory.mktemp("page") / "view.html"
    write_page(path, "a stage", {"stage": HOSTILE}, sheets, processor)
    return path


Open = Callable[..., Any]


@pytest.fixture
def opened(open_file: Open, page_file: Path) -> Open:
    """opened("sheet-0-row-1", viewport=PHONE): the page at that place."""
    return lambda place="", **options: open_file(page_file, place, **options)


def test_a_pack_shows_its_documents_pictures_and_words(opened: Open) -> None:
    page = opened()
    assert page.locator("nav button").all_inner_texts() == ["pack 0", HOSTILE, "lost.jsonl:3"]
    assert page.locator(".rows button").count() == 2
    assert page.locator(".document h3").all_inner_texts() == ["pair", "clip"]
    assert page.locator("figure.picture").count() == 2 and page.locator("figure.frame").count() == 2
    assert page.locator(".learnt[data-i]").all_inner_texts()[:4] == ["y", "e", "s", "↵"]
    sizes = page.evaluate("[...document.querySelectorAll('figure img')].map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes == [[96, 64], [32, 64], [32, 32], [32, 32]]
    page.locator(".rows button").nth(1).click()
    assert page.locator(".document h3").all_inner_texts() == ["words"]
    assert page.url.endswith("#sheet-0-row-1")


def test_the_mask_is_drawn_from_the_interval(opened: Open) -> None:
    page = opened()
    page.wait_for_timeout(100)  # a frame is drawn
    size, seen, wrong = page.evaluate(
        """() => {
          const canvas = document.querySelector(".plot canvas"), size = canvas.width, row = data.sheets[0].rows[0];
          const image = canvas.getContext("2d").getImageData(0, 0, size, size).data, [r, g, b] = colour("--card");
          let seen = 0, wrong = 0;
          for (let q = 0; q < size; q++) for (let k = 0; k < size; k++) {
            const at = 4 * (q * size + k), visible = row.lo[q] <= k && k <= row.hi[q];
            seen += visible;
            wrong += visible === (image[at] === r && image[at + 1] === g && image[at + 2] === b);
          }
          return [size, seen, wrong];
        }"""
    )
    assert size == LENGTH and size < seen < size**2 and wrong == 0


def test_looking_at_a_token_marks_what_it_sees(opened: Open) -> None:
    page = opened()
    figure = page.locator("figure.picture .shown").first
    figure.hover(position={"x": 5, "y": 5})
    tip = page.locator("#tip").inner_text()
    start = page.evaluate("data.sheets[0].rows[0].documents[0].pictures[0].start")
    assert "visual token" in tip and f"sees 0 to {start + 5}, the whole picture" in tip
    assert page.locator("figure .cell").count() == 1 and page.locator(".seen").is_visible()
    page.locator(".learnt[data-i]").first.hover()
    assert "learnt: label" in page.locator("#tip").inner_text()
    page.locator("h1").hover()
    assert not page.locator("#tip").is_visible() and not page.locator(".seen").is_visible()


def test_looking_at_the_mask_tells_query_and_key(opened: Open) -> None:
    page = opened()
    field = page.locator(".plot .field")
    box = field.bounding_box()
    field.hover(position={"x": box["width"] - 4, "y": 4})
    assert "query 2: " in page.locator("#tip").inner_text() or "query 1: " in page.locator("#tip").inner_text()
    assert "does not see" in page.locator("#tip").inner_text()


def test_hostile_words_stay_words(opened: Open) -> None:
    page = opened("sheet-1-row-0")
    assert page.title() == "a stage" and page.locator("main b:text('bold')").count() == 0
    assert page.locator("h2").first.inner_text() == HOSTILE
    assert HOSTILE in page.locator(".text").inner_text()


def test_a_sample_that_could_not_be_read_says_why(opened: Open) -> None:
    page = opened()
    page.locator("nav button.bad").click()
    assert page.locator(".fault").inner_text() == f"lost.jsonl:3: no such picture {HOSTILE}"
    assert page.locator(".plot").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(opened: Open, viewport: dict[str, int], scheme: str) -> None:
    page = opened(viewport=viewport, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    wide = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.card')].map(c => c.getBoundingClientRect().right))"
    )
    assert wide <= viewport["width"]
    light = page.evaluate("[colour('--ink')[0], colour('--ground')[0], colour('--muted')[0]]")
    ink, ground, muted = (value / 255 for value in light)
    assert abs(ink - ground) > 0.7 and abs(muted - ground) > 0.45


def test_the_patch_grid_can_be_put_away(opened: Open) -> None:
    page = opened()
    assert page.locator("figure .grid").first.is_visible()
    page.locator("#grid").uncheck()
    assert not page.locator("figure .grid").first.is_visible()


def test_the_keyboard_reaches_every_pack_and_row(opened: Open) -> None:
    page = opened()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("nav button[aria-current=true]").inner_text() == HOSTILE
