"""An ablation from its file to its page: shared stages once, nothing twice, broken off and gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pixelword.errors import CheckpointError, InputError, RecipeError
from pixelword_lab.ablations import report, running
from pixelword_lab.ablations.jobs import cells, jobs_of
from pixelword_lab.ablations.recipe import load_ablation
from pixelword_lab.ablations.summary import summary

RECIPES = Path(__file__).parents[3] / "recipes" / "ablations"
SHIPPED = sorted(RECIPES.glob("*.yaml"))
TEXT = """\
name: small
asks: Does it run?
cost: seconds
seeds: [0, 1]
stages: [tiny.yaml]
set: [steps=2, checkpoint.every=1, "data.mixture={colour: 1, motion: 1}"]
packs: 1
curve: colour
variants:
  - {name: plain, paper: 44.0}
  - {name: same}
  - {name: line, network: {positions: line, mask: causal}, paper: 39.1, later: true}
  - name: eyes
    network: {encoder: clip, encoder_layers: 1}
    set: [model.config.llm_config.num_hidden_layers=2, model.config.llm_config.extra_num_layers=0]
findings:
  - {says: plain beats line, better: plain, than: line}
"""


@pytest.fixture
def small(tiny, tmp_path):
    """write(old, new): the small ablation with its text changed, read again."""
    tiny("validation={every: 1, packs: 1}")  # leaves tiny.yaml there
    stage = tmp_path / "tiny.yaml"
    stage.write_text(stage.read_text() + "validation: {every: 1, packs: 1}\n")

    def write(*changes: tuple[str, str]):
        text = TEXT
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return load_ablation(path)

    return write


def test_every_stage_is_there_once_and_later_ones_come_last(small, tmp_path) -> None:
    found = cells([small()], tmp_path)
    names = [(cell.variant.name, cell.seed) for cell in found]
    first = [(name, seed) for seed in (0, 1) for name in ("plain", "same", "eyes")]
    assert names == [*first, ("line", 0), ("line", 1)]
    assert found[0].job.folder == found[1].job.folder and len(list(jobs_of(found))) == 6
    assert len({cell.job.recipe.seed for cell in found}) == 2


def test_a_change_trains_anew_what_it_touches(small, tmp_path) -> None:
    before = {str(cell): cell.job.folder for cell in cells([small()], tmp_path)}
    after = cells([small(("encoder_layers: 1", "encoder_layers: 2"), ("packs: 1", "packs: 2"))], tmp_path)
    changed = {cell.variant.name for cell in after if cell.job.folder != before[str(cell)]}
    assert changed == {"eyes"}


def test_what_a_first_stage_begins_with_is_part_of_its_name(small, tmp_path) -> None:
    start = "tokenizer=null, model.config=null, model.from"
    plain, same = f"{{name: plain, set: [{start}=one]}}", f"{{name: same, set: [{start}=other]}}"
    found = cells([small(("{name: plain, paper: 44.0}", plain), ("{name: same}", same))], tmp_path)
    assert found[0].job.folder != found[1].job.folder


def test_it_runs_goes_on_and_is_written_down(small, tmp_path) -> None:
    ablation = small(("[0, 1]", "[0]"))
    found = cells([ablation], tmp_path / "runs")
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if "% right" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.run(found, stop)
    assert [cell.result.exists() for cell in found] == [True, True, False, False]
    assert summary(ablation, found).left == ("line", "eyes")
    written = found[0].result.stat().st_mtime_ns
    assert running.run(found, said.append) is None
    assert found[0].result.stat().st_mtime_ns == written and len(said) == 3 * 2  # a stage, and its result

    figures = json.loads(found[2].result.read_text())
    assert set(figures["kinds"]) == {"colour", "motion"} and figures["kinds"]["colour"]["asked"] > 1
    shares = [kind["right"] / kind["asked"] for kind in figures["kinds"].values()]
    assert figures["exact"] == pytest.approx(sum(shares) / 2, abs=1e-4)
    assert not (found[3].job.folder / "final" / "config.json").exists()  # a variant is not to be loaded as ours
    assert (found[0].job.folder / "final" / "config.json").exists()

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- small -->\n<!-- end of small -->\nafter\n")
    report.write(page, Path("small.yaml"), summary(ablation, found))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "| plain |" in text and "44" in text
    assert "Plain beats line: not significant" in text and "one seed" in text
    pictures = [tmp_path / "page" / name for name in ("small.svg", "small-curve.svg")]
    drawn = [picture.read_bytes() for picture in pictures]
    report.write(page, Path("small.yaml"), summary(ablation, found))
    assert page.read_text() == text and [picture.read_bytes() for picture in pictures] == drawn


def test_what_another_process_is_at_work_on_comes_last(small, tmp_path, monkeypatch) -> None:
    """The first cell's stage is held by another process until this one has nothing else to do."""
    ablation = small(("[0, 1]", "[0]"), ("packs: 1", "packs: 1\nkinds: [colour]"))
    found = cells([ablation], tmp_path / "runs")
    held = found[0].job.folder
    held.mkdir(parents=True)
    hold = f"import fcntl; f = open({str(held / '.claim')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-uc", hold], **pipes) as other:
        assert other.stdout.readline() == "1\n"

        def ended(seconds: float) -> None:
            assert [cell.result.exists() for cell in found] == [False, False, True, True]
            other.communicate("\n")

        monkeypatch.setattr(running.time, "sleep", ended)
        assert running.run(found, said.append) is None
    assert all(cell.result.exists() for cell in found)
    assert said.index(f"waiting for another process, which is at work on {held}") == 4  # after two stages and results
    assert "plain, seed 0: tiny" in said[5] and len(said) == 7


def test_a_folder_that_cannot_be_written_is_told_in_a_line(small, tmp_path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(CheckpointError, match="cannot write there"):
        running.run(cells([small()], tmp_path / "runs"), lambda line: None)


def test_a_resumed_stage_ends_as_if_it_had_not_been_stopped(small, tmp_path, monkeypatch) -> None:
    """Stopped after its first step, its checkpoint there, and started by another process' worth of objects."""
    ablation = small(("[0, 1]", "[0]"))
    whole, broken = (next(c for c in cells([ablation], tmp_path / name) if c.variant.name == "eyes") for name in "ab")
    running.train(whole.job)

    from pixelword.training.trainer import Trainer

    finish = Trainer._finish  # where a run's end begins: a signal can come here, and a test cannot time one
    monkeypatch.setattr(Trainer, "fraction", lambda self, progress: float(progress.step >= 1))
    monkeypatch.setattr(Trainer, "_finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        running.train(broken.job)
    monkeypatch.undo()
    assert Trainer._finish is finish
    running.train(broken.job)
    item, other = (running.trained(cell.job).state_dict() for cell in (whole, broken))
    assert all(torch.equal(tensor, other[name]) for name, tensor in item.items())


def test_a_grown_chain(tiny, tmp_path) -> None:
    tiny()
    (tmp_path / "next.yaml").write_text(
        "stage: next\nout: x\nmodel: {from: x}\ndata: {mixture: {colour: 1}, rows: 2, length: 96, workers: 0}\n"
        "optimizer: {lr: 1e-3}\nschedule: {kind: constant}\nsteps: 1\nprecision: fp32\ncheckpoint: {every: 1}\n"
    )
    (tmp_path / "grown.yaml").write_text(
        "name: grown\nasks: a\ncost: b\nseeds: [4]\nstages: [words.yaml, next.yaml]\npacks: 1\n"
        "grow: {layers: 1}\nvariants:\n  - {name: released}\n  - {name: gentle, grow: {layers: 1, spatial: gentle}}\n"
    )
    words = (tmp_path / "tiny.yaml").read_text().replace("extra_num_layers: 1", "extra_num_layers: 0")
    (tmp_path / "words.yaml").write_text(words.replace("steps: 6", "steps: 1") + "trainable: [language]\n")
    found = cells([load_ablation(tmp_path / "grown.yaml")], tmp_path / "runs")
    assert len(list(jobs_of(found))) == 3
    assert running.run(found, lambda line: None) is None
    figures = [json.loads(cell.result.read_text()) for cell in found]
    assert figures[0]["parameters"] == figures[1]["parameters"]
    assert figures[0]["loss"] != figures[1]["loss"]


@pytest.mark.parametrize(("old", "new", "told"), [
    ("positions: line", "positions: spiral", "network.positions"),
    ("better: plain", "better: nobody", "no variant 'nobody'"),
    ("{name: same}", "{name: plain}", "two variants are called 'plain'"),
    ("- {name: same}", "- {name: same, stages: 2}", "there are 1"),
    ("cost: seconds\n", "", "cost"),
])  # fmt: skip
def test_faults_of_a_file(small, old, new, told) -> None:
    with pytest.raises(RecipeError, match=told):
        small((old, new))


def test_other_faults(small, tmp_path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        load_ablation(tmp_path / "absent.yaml")
    with pytest.raises(RecipeError, match="grow stands between two stages"):
        cells([small(("{name: same}", "{name: same, grow: {layers: 1}}"))], tmp_path)
    with pytest.raises(RecipeError, match="line, seed 0: measured on other kinds"):
        other = "{positions: line}, set: ['data.mixture={shape: 1}']"
        cells([small(("{positions: line, mask: causal}", other))], tmp_path)
    with pytest.raises(RecipeError, match="plain, seed 0: the curve of shape"):
        cells([small(("curve: colour", "curve: shape"))], tmp_path)
    with pytest.raises(RecipeError, match="plain, seed 0: the curve of colour"):
        cells([small(("set: [steps=2", "set: [validation=null, steps=2"))], tmp_path)
    with pytest.raises(RecipeError, match="line: another network has one stage"):
        cells([small(("[tiny.yaml]", "[tiny.yaml, tiny.yaml]"))], tmp_path)
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(InputError, match="no place for small"):
        report.write(tmp_path / "page.md", Path("small.yaml"), summary(small(), []))


def test_shipped_ablations() -> None:
    ablations = [load_ablation(path) for path in SHIPPED]
    assert {ablation.name for ablation in ablations} == {path.stem for path in SHIPPED} and len(ablations) >= 6
    found = cells(ablations, Path("runs"))
    paid: set[Path] = set()
    for cell in found:  # a cost tells the steps of what is trained there first
        for job in cell.job.chain:
            assert job.folder in paid or f"{job.recipe.steps:,}" in cell.ablation.cost, cell.ablation.name
            paid.add(job.folder)
    folders = {(cell.ablation.name, cell.variant.name, cell.seed): cell.job.folder for cell in found}
    reference = folders["attention", "mixed Native", 0]
    assert folders["eyes", "pre-buffer", 0] == folders["depth", "2 layers", 0] == folders["loss", "square", 0]
    assert folders["eyes", "pre-buffer", 0] == reference
    assert folders["stages", "stage 1", 1] == folders["growth", "queries copied and keys zero", 1]
