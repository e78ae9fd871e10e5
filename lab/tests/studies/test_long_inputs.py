"""Long inputs: questions that stay the same at every length, cells that are measured once, a page written from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.markdown_section import Section
from pixelword.generation.session import Session, load
from pixelword.processing.videos import frames_to_video
from pixelword.synthetic.assets import Assets
from pixelword_lab.studies import long_report
from pixelword_lab.studies.long_inputs import (
    Case,
    Cell,
    Results,
    fitted,
    measure,
    on_a_sheet,
    rested,
    slowed,
    sources,
)  # fmt: skip

ABOUT = {
    "model": {"name": "tiny", "parameters": 1000, "dtype": "float32"},
    "machine": {"threads": 1, "device": "a processor"},
    "settings": {"questions": 2},
}


@pytest.fixture(scope="module")
def session(tiny_model_dir: Path) -> Session:
    return load(str(tiny_model_dir), dtype="float32", device="cpu")


@pytest.fixture
def asked(tmp_path: Path) -> dict:
    return {source.name: source for source in sources(Assets(tmp_path), 128 * 128)}


@pytest.mark.parametrize("name", ["motion of one thing, slow", "motion of one thing, then rest"])
def test_a_longer_clip_asks_the_same(asked: dict, name: str) -> None:
    short, long = asked[name].cases(1, 4), asked[name].cases(16, 4)
    assert [item.item.question for item in short] == [item.item.question for item in long]
    for item, other in zip(short, long, strict=True):
        own, more = item.item.media[0]["video"].frames, other.item.media[0]["video"].frames
        assert (len(own), 46 <= len(more) <= 64) == (4, True)
        assert (own[0].tobytes(), own[-1].tobytes()) == (more[0].tobytes(), more[-1].tobytes())


def test_clips_slowed_down_and_at_rest() -> None:
    video = frames_to_video([Image.new("RGB", (32, 32), (place, 0, 0)) for place in range(3)], fps=2)
    assert slowed(video, 2).timestamps == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    shown = [frame.getpixel((0, 0))[0] for frame in rested(video, 4, Random(1)).frames]
    assert len(shown) == 12 and shown == sorted(shown) and shown.count(1) == 1
    assert rested(video, 1, Random(1)).frames == video.frames


def test_a_sheet_holds_the_picture() -> None:
    picture = Image.effect_noise((40, 30), 80).convert("RGB")
    sheet = on_a_sheet(picture, 16, Random(3))
    assert sheet.size == (160, 120)
    found = [(x, y) for x in range(121) for y in range(91) if sheet.crop((x, y, x + 40, y + 30)) == picture]
    assert len(found) == 1
    assert on_a_sheet(picture, 1, Random(3)) == picture
    assert fitted(picture, 300).size == (20, 15) and fitted(picture, 1200) is picture


def test_cells_are_measured_once_and_written_to_the_page(session: Session, asked: dict, tmp_path: Path) -> None:
    chosen = [asked["motion of one thing, slow"], asked["digits on a large sheet"]]
    results = Results(tmp_path / "long.jsonl", {"of": "tiny"})
    cells = list(measure(session, chosen, results, 2, (1, 4)))
    assert [(cell.length, cell.way) for cell in cells if cell.media == "video"] == [
        (1, "plain"), (4, "plain"), (4, "frame budget"), (4, "old frames dropped"),
    ]  # fmt: skip
    by = {(cell.media, cell.length, cell.way): cell for cell in cells}
    assert by["video", 4, "frame budget"].tokens < by["video", 4, "plain"].tokens
    assert by["video", 4, "frame budget"].visual == by["video", 1, "plain"].visual
    assert by["video", 4, "old frames dropped"].held < by["video", 4, "plain"].held
    assert by["picture", 4, "shrunk"].visual < by["picture", 4, "plain"].visual
    assert all(cell.asked == 2 and 0 <= cell.right <= 2 and not cell.unfit for cell in cells)

    again = Results(tmp_path / "long.jsonl", {"of": "tiny"})
    assert list(measure(session, chosen, again, 2, (1, 4))) == cells
    assert len((tmp_path / "long.jsonl").read_text().splitlines()) == 1 + len(cells)
    with pytest.raises(InputError, match="another run"):
        list(measure(session, chosen, Results(tmp_path / "long.jsonl", {"of": "other"}), 2, (1,)))

    lines = (tmp_path / "long.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines)[:-9])  # a kill halfway
    rest = Results(tmp_path / "cut.jsonl", {"of": "tiny"})
    assert list(rest.cells.values()) == cells[:-1] and (tmp_path / "cut.jsonl").read_text() == "".join(lines[:-1])

    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- long -->\nold\n<!-- end of long -->\nafter\n")
    size = long_report.bytes_per_token(session.model)
    Section.named(page, "long", "--report").write("\n".join(long_report.section(ABOUT, cells, size, "the command")))
    text = page.read_text()
    assert "old\n" not in text and text.startswith("# Before\n") and text.endswith("after\n") and "the command" in text
    assert "| video | 4× | frame budget |" in text and "### Digits on a large sheet" in text


def test_only_what_is_too_long_does_not_fit(session: Session, asked: dict, tmp_path: Path) -> None:
    def measured(name: str, change: Callable[[Case], Case]) -> Cell:
        source = asked["motion of one thing, slow"]
        changed = replace(source, cases=lambda length, number: [change(case) for case in source.cases(16, number)])
        (cell,) = measure(session, [changed], Results(tmp_path / name, {}), 1, (1,))
        return cell

    def longer(case: Case) -> Case:
        video = case.item.media[0]["video"]
        return replace(case, item=replace(case.item, media=({"type": "video", "video": slowed(video, 8)},)))

    cell = measured("longer", longer)
    assert (cell.asked, cell.unfit, cell.right, cell.tokens) == (1, 1, 0, 0.0)
    with pytest.raises(InputError, match="type"):
        measured("broken", lambda case: replace(case, item=replace(case.item, media=({"type": "smell"},))))


def test_what_does_not_fit_is_said() -> None:
    cell = Cell("motion", "video", 16, "plain", 3, 0, 3, 0.0, 0.0, 0.0, 0.0)
    other = Cell("motion", "video", 16, "frame budget", 3, 2, 0, 80.0, 16.0, 81.0, 0.1)
    assert "does not fit" in long_report.row(cell, 4)
    told = "\n".join(long_report.verdicts([cell, other]))
    assert "| video | 16× | frame budget | 67 % | 0 % | – | – |" in told
    assert "(1 do not fit)" in long_report.row(Cell("m", "video", 4, "plain", 3, 1, 1, 9.0, 4.0, 9.0, 0.1), 4)


def test_the_cache_is_counted_by_its_own_bytes(session: Session) -> None:
    import torch

    held = session.model(input_ids=torch.ones(1, 10, dtype=torch.int64), use_cache=True).past_key_values
    bytes_held = sum(layer.keys.nbytes + layer.values.nbytes for layer in held.layers)
    assert bytes_held == 10 * long_report.bytes_per_token(session.model)
