"""What a run reports goes to the file, to trackers and before people's eyes; a resumed run reports it once."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from pixelword.errors import PixelwordError
from pixelword.training.live import RunView, duration, sparkline
from pixelword.training.log import RunLog

REPORT = {
    "loss": 1.25, "lr": 3e-4, "grad_norm": 0.8, "tokens_per_s": 5400.0, "images_per_s": 31.0, "step_s": 0.5,
    "data_wait": 0.02, "padding": 0.04, "memory_gb": 2.3, "tflops": 0.1, "mfu": 0.312, "elapsed": 75.0, "left": 3700.0,
}  # fmt: skip


def console(terminal: bool = False, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width)


def printed(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_on_the_disk_at_once(tmp_path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    with RunLog(path, console(), "sft", 10, 0) as log:
        log.report(1, REPORT)
        (line,) = lines(path)
        assert line["event"] == "train" and line["step"] == 1 and line.items() >= REPORT.items()
        log.write("validation", 1, exact={"colour": 0.5})
        assert lines(path)[1]["exact"] == {"colour": 0.5}


def test_a_resumed_run_drops_what_is_done_again_and_what_a_kill_cut_short(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    with RunLog(path, console(), "sft", 10, 0) as log:
        for step in (1, 2, 3):
            log.report(step, REPORT)
    with path.open("a") as file:
        file.write('{"event": "train", "st')
    with RunLog(path, console(), "sft", 10, 2) as log:
        log.report(3, REPORT | {"loss": 9.0})
    assert [(line["step"], line["loss"]) for line in lines(path)] == [(1, 1.25), (2, 1.25), (3, 9.0)]


def test_without_a_terminal_there_is_a_plain_line_now_and_then(tmp_path) -> None:
    out = console()
    with RunLog(tmp_path / "metrics.jsonl", out, "sft", 1500, 0) as log:
        log.report(10, REPORT)
        log.report(20, REPORT)
    assert printed(out).splitlines() == [
        "sft 10/1500  loss 1.250  lr 3.0e-04  grad 0.80  tokens/s 5,400  images/s 31  MFU 31.2%  wait 2%  "
        "padding 4%  memory 2.3 GB  1:01:40 left"
    ]


def test_in_a_terminal_the_view_stays_and_lines_pass_above_it(tmp_path) -> None:
    out = console(terminal=True)
    with RunLog(tmp_path / "metrics.jsonl", out, "sft", 1500, 0) as log:
        log.report(10, REPORT)
        log.report(20, REPORT | {"loss": 1.0})
        log.say("step 20: held-out loss 1.100")
    text = printed(out)
    assert text.index("held-out") < text.rindex("20/1,500") < text.rindex("tokens/s")
    assert "█▁" in text and "1:15 gone, 1:01:40 left" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_view_fits_its_terminal(width) -> None:
    out = console(width=width)
    view = RunView("midtrain", 190_000, 0)
    out.print(view)
    view.update(1000, REPORT | {"level": 0.5, "faults": 3})
    out.print(view)
    rows = printed(out).splitlines()
    assert max(map(len, rows)) <= width
    words = " ".join(" ".join(rows).split())
    for told in ("loss 1.250", "level 0.50", "MFU 31.2%", "memory 2.3 GB", "bad samples 3"):
        assert told in words


def test_other_ranks_say_and_write_nothing(tmp_path) -> None:
    out = console()
    with RunLog(tmp_path / "run" / "metrics.jsonl", out, "sft", 10, 0, speaks=False, tensorboard=True) as log:
        log.report(1, REPORT)
        log.say("hello")
    assert printed(out) == "" and not (tmp_path / "run").exists()


def test_tensorboard_gets_every_number(tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="the train extra is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 0, tensorboard=True) as log:
        log.report(5, REPORT)
        log.write("validation", 5, loss=0.5, exact={"colour": 0.75}, answers=[{"text": "red"}])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {f"train/{name}" for name in REPORT} | {"validation/loss", "validation/exact/colour"} == set(
        events.Tags()["scalars"]
    )
    (found,) = events.Scalars("validation/exact/colour")
    assert (found.step, found.value) == (5, 0.75)


def test_tensorboard_that_is_not_installed_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PixelwordError, match=r"pip install .*tensorboard"):
        RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 0, tensorboard=True)


def offline_runs(out: Path) -> list[bytes]:
    """What W&B wrote for each process, in order: protobuf records, whose names and values are plain text."""
    return [path.read_bytes() for path in sorted(out.glob("wandb/offline-run-*/*.wandb"))]


def test_wandb_gets_the_recipe_and_every_number_and_a_resumed_run_has_its_id(tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="the wandb extra is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = {"wandb": "team/project", "config": {"optimizer": {"lr": 0.125}}}
    with RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 0, **options) as log:
        log.report(5, REPORT)
        log.write("validation", 5, loss=0.5, exact={"colour": 0.75}, answers=[{"text": "red"}])
    time.sleep(1.1)  # W&B names a process's folder by the second
    with RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 5, **options) as log:
        log.report(10, REPORT | {"loss": 2.5})
    name = (tmp_path / "wandb" / "id").read_bytes().strip()
    first, resumed = offline_runs(tmp_path)
    assert name in first and name in resumed and b"optimizer" in first and b"0.125" in first
    for metric in (*(f"train/{field}" for field in REPORT), "validation/loss", "validation/exact/colour"):
        assert metric.encode() in first
    assert b"answers" not in first and b"2.5" in resumed


def test_what_wandb_refuses_is_one_line(tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="the wandb extra is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(PixelwordError, match="--wandb: Invalid project name"):
        RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 0, wandb="a:b")


def test_wandb_that_is_not_installed_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(PixelwordError, match=r"--wandb needs the package: pip install .*wandb"):
        RunLog(tmp_path / "metrics.jsonl", console(), "sft", 10, 0, wandb="project")


def test_sparkline_and_duration() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁"
    assert sparkline([1.0]) == "" and sparkline([2.0, 2.0]) == "▁▁"
    assert [duration(s) for s in (5, 75, 3700, 200_000)] == ["0:05", "1:15", "1:01:40", "2 d 7 h"]
