"""The page of `pixelword explain`, in a browser: maps over pictures, and everything that can be clicked."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pixelword

EXAMPLES = Path(__file__).parents[2] / "examples"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = "what is on the left?</script><script>document.title = 'broken'</script><b>bold</b>"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """nano looked into: one picture and an answer of three words, whose question is hostile; a video of four frames."""
    nano = pixelword.load("nano", dtype="float32", device="cpu")
    folder = tmp_path_factory.mktemp("look")
    left = pixelword.look_inside(nano, "what is on the left?", images=EXAMPLES / "left_right.png")
    clip = pixelword.look_inside(nano, "which way does it move?", videos=EXAMPLES / "moving_right.mp4", occlusions=16)
    replace(left, question=HOSTILE).save(folder / "left.html", model="nano")
    clip.save(folder / "clip.html", model="nano")
    return {"left": folder / "left.html", "clip": folder / "clip.html"}


@pytest.fixture
def opened(open_file: Open, page_files: dict[str, Path]) -> Open:
    """opened("left", viewport=PHONE): the page, drawn."""

    def open_page(name: str = "left", **options: Any) -> Any:
        page = open_file(page_files[name], **options)
        page.wait_for_selector(".frame canvas")
        drawn = "document.querySelector('.frame canvas').getContext('2d').getImageData(0, 0, 1, 1).data[3]"
        # wait_for_function evaluates its string again by eval, which the page's policy forbids
        for _ in range(100):
            if page.evaluate(drawn):
                return page
            page.wait_for_timeout(100)
        raise AssertionError("the image was not drawn within ten seconds")

    return open_page


def brightness(page: Any, rows: int, columns: int, picture: int = 0) -> list[float]:
    """Of each cell of a picture with its map: what is looked at stays bright."""
    return page.evaluate(
        """([rows, columns, picture]) => {
          const canvas = document.querySelectorAll(".frame canvas")[picture], found = [];
          const [w, h] = [canvas.width / columns, canvas.height / rows], context = canvas.getContext("2d");
          for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
            const {data} = context.getImageData(c * w + 3, r * h + 3, w - 6, h - 6);
            let sum = 0;
            for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
            found.push(sum / data.length);
          }
          return found;
        }""",
        [rows, columns, picture],
    )


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_one_click_shows_the_image_without_its_map(opened: Open) -> None:
    page = opened()
    shown = brightness(page, 2, 2)
    page.get_by_role("button", name="Image alone").click()
    with Image.open(EXAMPLES / "left_right.png") as image:
        plain = image.convert("RGB").resize((2, 2), Image.Resampling.BOX)
    bare = brightness(page, 2, 2)
    assert bare == pytest.approx([sum(plain.getpixel((c, r))) / 4 for r in range(2) for c in range(2)], abs=3)  # type: ignore[arg-type]
    assert bare != pytest.approx(shown, abs=3)
    page.get_by_role("button", name="Image alone").click()
    assert brightness(page, 2, 2) == pytest.approx(shown, abs=1)


def test_the_parts_of_a_score_are_explained_in_a_sentence(opened: Open) -> None:
    assert "H and W compare the rows and the columns" in opened().inner_text("body")


def test_the_star_is_what_was_looked_at(opened: Open) -> None:
    page = opened()
    assert page.locator(".answer .word").all_inner_texts() == ["a", "yellow", "star"]
    for method in ("attention", "gradient × attention", "occlusion"):
        press(page, method)
        assert page.get_by_role("button", name=method, exact=True).get_attribute("aria-pressed") == "true"
        cells = brightness(page, 3, 3)
        assert cells.index(max(cells)) == 3, method
    assert "nats" in page.locator(".legend").inner_text()


def test_words_layers_and_heads_change_the_map(opened: Open) -> None:
    page = opened()
    whole = brightness(page, 3, 3)
    press(page, "yellow")
    word = brightness(page, 3, 3)
    assert word != whole
    page.get_by_label("layer").select_option("0")
    page.get_by_label("head").select_option("2")
    assert brightness(page, 3, 3) != word
    assert page.locator(".field .cell").is_visible()
    box = page.locator(".grid").bounding_box()
    page.locator(".grid").click(position={"x": box["width"] * 5.5 / 6, "y": box["height"] * 4.5 / 6})
    assert page.get_by_label("layer").input_value() == "4" and page.get_by_label("head").input_value() == "5"
    page.locator(".grid").click(position={"x": box["width"] * 5.5 / 6, "y": box["height"] * 4.5 / 6})
    assert page.get_by_label("layer").input_value() == ""
    assert page.locator(".part h3 b").count() == 3 and page.locator(".maps canvas").count() == 3


def test_a_patch_tells_what_it_looks_at_and_what_looks_at_it(opened: Open) -> None:
    page = opened()
    box = page.locator(".frame canvas").bounding_box()
    page.locator(".frame canvas").hover(position={"x": box["width"] / 6, "y": box["height"] / 2})
    assert "row 2, column 1" in page.locator(".tip").inner_text()
    page.locator(".frame canvas").click(position={"x": box["width"] / 6, "y": box["height"] / 2})
    assert "what is looked at from" in page.locator(".note").inner_text().lower()
    away = brightness(page, 3, 3)
    press(page, "what looks at this patch")
    assert brightness(page, 3, 3) != away and "What looks at" in page.locator(".note").inner_text()
    press(page, "pre-buffer")
    assert "pre-buffer" in page.locator(".note").inner_text()
    press(page, "back to the answer")
    assert not page.locator(".from").is_visible()


def test_the_map_is_saved_as_a_picture(opened: Open) -> None:
    page = opened()
    with page.expect_download() as waiting:
        press(page, "Save PNG")
    assert waiting.value.suggested_filename == "look-inside.png"
    saved = Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes()))
    assert saved.format == "PNG" and saved.width >= 560 and len(saved.convert("RGB").getcolors(1 << 20)) > 100


def test_what_maps_are_worth_is_told(opened: Open) -> None:
    page = opened()
    trust = page.locator(".trust")
    assert "one patch of 9" in trust.inner_text()
    assert trust.locator("tbody tr").count() == 6 and trust.locator("polyline").count() == 6


def test_frames_have_times_and_see_those_before(opened: Open) -> None:
    page = opened("clip")
    assert page.locator(".pictures figcaption").all_inner_texts() == ["00:00.00", "00:01.00", "00:02.00", "00:03.00"]
    assert page.locator(".betweens figcaption").all_inner_texts()[0].startswith("pre-buffer")
    corners = page.evaluate(
        """[...document.querySelectorAll(".between")].map(canvas => {
          const at = (x, y) => canvas.getContext("2d").getImageData(x, y, 1, 1).data[3];
          return [canvas.width, at(3, 0), at(0, 3)];
        })"""
    )
    assert all(width == 4 and ahead == 0 and before > 0 for width, ahead, before in corners) and len(corners) == 2


def test_hostile_words_stay_words(opened: Open) -> None:
    page = opened()
    assert page.title() == HOSTILE and page.locator("h1").inner_text() == HOSTILE
    assert page.locator("b:text('bold')").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(opened: Open, viewport: dict[str, int], scheme: str) -> None:
    for name in ("left", "clip"):
        page = opened(name, viewport=viewport, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        right = (
            "Math.max(...[...document.querySelectorAll('.card, .card p')].map(c => c.getBoundingClientRect().right))"
        )
        assert page.evaluate(right) <= viewport["width"]
        ink, ground = page.evaluate(
            """["color", "backgroundColor"].map((name, i) => {
              const of = i ? document.body : document.querySelector(".look");
              return getComputedStyle(of)[name].match(/\\d+/g).slice(0, 3).reduce((sum, one) => sum + +one, 0) / 765;
            })"""
        )
        assert abs(ink - ground) > 0.7 and (ground > 0.5) == (scheme == "light")


def test_the_keyboard_reaches_words_and_methods(opened: Open) -> None:
    page = opened()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="yellow", exact=True).get_attribute("aria-pressed") == "true"
