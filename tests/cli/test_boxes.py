"""Places that an answer names, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pointing_model import POINTED

from pixelword.processing.images import load_image
from pixelword.processing.videos import load_video


def photograph(path: Path, orientation: int = 1, size: tuple[int, int] = (200, 80)) -> Path:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", size, "navy").save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", [1, 6])
def test_json_has_the_places_in_upright_pixels_and_what_was_seen(
    run: Callable[..., Any], pointing_model_dir: Path, tmp_path: Path, orientation: int
) -> None:
    image = photograph(tmp_path / "a.jpg", orientation)
    result = run("ask", image, "Find the star.", "--model", pointing_model_dir, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    width, height = load_image(image).size
    assert facts["answer"] == POINTED
    assert facts["objects"] == [
        {
            "label": "star",
            "box": [0.1 * width, 0.25 * height, 0.5 * width, 0.75 * height],
            "box_1000": [100, 250, 500, 750],
            "image": 0,
        }
    ]
    (seen,) = facts["usage"]["images"]
    assert seen["size"] == [width, height] and seen["tokens"] == facts["visual_tokens"]
    assert seen["seen"][0] % 32 == 0 and seen["seen"][0] * seen["seen"][1] == 32 * 32 * seen["tokens"]
    assert facts["usage"]["completion_tokens"] == facts["new_tokens"]


def test_places_are_drawn(run: Callable[..., Any], pointing_model_dir: Path, tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg", 6, (600, 480))
    result = run("ask", image, "Find the star.", "--model", pointing_model_dir, "--boxes", tmp_path / "out.png")
    assert (result.exit_code, result.stdout) == (0, POINTED + "\n")
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (480, 600)  # upright
        assert drawn.getpixel((48, 300)) == (0xD5, 0x5E, 0x00)  # the left side of the box
        assert drawn.getpixel((20, 300)) != (0xD5, 0x5E, 0x00)


def test_of_several_images_none_is_guessed(run: Callable[..., Any], pointing_model_dir: Path, tmp_path: Path) -> None:
    images = [photograph(tmp_path / name) for name in ("a.jpg", "b.jpg")]
    told = run("ask", *images, "where?", "--model", pointing_model_dir, "--json", "--boxes", tmp_path / "out.png")
    (place,) = json.loads(told.stdout)["objects"]
    assert place == {"label": "star", "box": None, "box_1000": [100, 250, 500, 750], "image": None}
    assert "are not drawn" in told.stderr
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["out-0.png", "out-1.png"]


def test_places_in_a_frame_are_drawn_on_it(run: Callable[..., Any], pointing_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance", reason="grammars need llguidance")
    clip, schema = Path(__file__).parents[2] / "examples" / "moving_right.mp4", tmp_path / "schema.json"
    schema.write_text(json.dumps({"const": [{"label": "star", "frame": 1, "box": [100, 250, 500, 750]}]}))
    how = ["--schema", schema, "--json", "--boxes", tmp_path / "out.png"]
    told = run("ask", "--video", clip, "where?", "--model", pointing_model_dir, *how)
    assert told.exit_code == 0, told.output
    (place,) = json.loads(told.stdout)["objects"]
    assert (place["video"], place["frame"]) == (0, 1)
    assert [path.name for path in tmp_path.glob("*.png")] == ["out-frame-1.png"] and "out-frame-1.png" in told.stderr
    shown = load_video(clip).frames[1]
    with Image.open(tmp_path / "out-frame-1.png") as drawn:
        factor = drawn.width // shown.width
        assert drawn.size == (factor * shown.width, factor * shown.height)
        assert drawn.getpixel((round(factor * place["box"][0]), drawn.height // 2)) == (0xD5, 0x5E, 0x00)
        corner = (factor * (shown.width - 1), 0)
        assert drawn.convert("RGB").getpixel(corner) == shown.convert("RGB").getpixel((shown.width - 1, 0))


def test_a_drawing_needs_an_image_and_a_name(refused: Callable[..., str], tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg")
    assert "none is before the question" in refused("ask", "where?", "--boxes", tmp_path / "out.png")
    assert "name a .png file" in refused("ask", image, "where?", "--boxes", tmp_path)
    assert "name a .png file" in refused("ask", image, "where?", "--boxes", tmp_path / "out.gif")


@pytest.mark.parametrize("count", [1, 2])
def test_with_the_schema_of_boxes_none_is_malformed(run: Callable[..., Any], tmp_path: Path, count: int) -> None:
    """Whatever the model, which was not trained on boxes here, and sampled."""
    pytest.importorskip("llguidance", reason="grammars need llguidance")
    images = [photograph(tmp_path / f"{n}.jpg", 6) for n in range(count)]
    whole = 0
    for seed in range(3):
        how = ["--schema", "boxes", "--temperature", 1.5, "--seed", seed, "--max-new-tokens", 150]
        result = run("ask", *images, "Find the star.", "--model", "nano", "--json", *how)
        facts = json.loads(result.stdout)
        if facts["finish_reason"] == "stop":
            written = [entry["box"] for entry in facts["parsed"]["objects"]]
            assert len(facts["objects"]) == sum(x1 != x2 and y1 != y2 for x1, y1, x2, y2 in written)
        for place in facts["objects"]:
            x1, y1, x2, y2 = place["box"]
            assert 0 <= x1 < x2 <= 80 and 0 <= y1 < y2 <= 200 and 0 <= place["image"] < count
        whole += len(facts["objects"])
    assert whole > 0
