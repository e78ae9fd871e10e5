"""`pixelword probe`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[2] / "examples"
WHAT = {"type": "text", "text": "what?"}


def data(folder: Path) -> Path:
    lines = [
        {"messages": [
            {"role": "user", "content": [{"type": "image", "image": str(IMAGES / name)}, WHAT]},
            {"role": "assistant", "content": answer},
        ]}
        for name, answer in (("red_circle.png", "a red circle"), ("left_right.png", "a yellow star"))
    ]  # fmt: skip
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_own_questions_are_probed_and_a_page_is_written(
    run: Callable[..., Any], tiny_model_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shared = ("probe", tiny_model_dir, "--data", data(tmp_path), "--out", out)
    result = run(*shared, "--only", "knockout", "--only", "split")
    assert result.exit_code == 0, result.output
    assert "Cutting text to image reading" in result.stdout and f"{out / 'probe.html'}: " in result.stdout
    written = json.loads((out / "probe.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in written["findings"]] == ["knockout", "split"]
    assert written["run"]["questions"] == 2 and written["findings"][0]["published"]
    printed = json.loads(run(*shared, "--only", "sinks", "--json").stdout)
    assert printed["findings"][0]["name"] == "sinks"


def test_what_cannot_be_is_refused_before_a_model_is_loaded(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "unknown probe 'cut'" in refused("probe", "nowhere", "--only", "cut")
    assert "leave them out with --data" in refused("probe", "nowhere", "--data", "a.jsonl", "--suite", "nano")
    assert "--root is of --data" in refused("probe", "nowhere", "--root", tmp_path)
