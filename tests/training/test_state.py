"""Checkpoints: bitwise on the same ranks, whole or absent whatever happens, one line for what cannot be read.

Run as a script, this file is one of two ranks: `python test_state.py FOLDER` in torchrun's environment.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import fully_shard

from pixelword.checkpoints.load import load_pretrained
from pixelword.errors import CheckpointError
from pixelword.processing.processor import NeoOVProcessor
from pixelword.training.checkpoints import Checkpoints, checkpoints
from pixelword.training.parallel import World
from pixelword.training.recipe import CheckpointRecipe
from pixelword.training.state import TrainingState, export, fingerprint

Parts = dict[str, torch.optim.Optimizer]


def network(seed: int) -> nn.Sequential:
    """Uneven over two ranks: 5 and 3 rows."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.Linear(5, 3))


def adamw(model: nn.Module) -> Parts:
    return {"adamw": torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, fused=True)}


def train(model: nn.Module, parts: Parts, steps: range) -> list[float]:
    """The loss of every step, whose four samples are shared by the ranks."""
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    losses = []
    for step in steps:
        samples = torch.randn(4, 8, generator=torch.Generator().manual_seed(step))
        loss = model(samples[rank * 4 // size : (rank + 1) * 4 // size]).square().mean()
        loss.backward()
        for part in parts.values():
            part.step()
            part.zero_grad()
        total = loss.detach() / size
        if size > 1:
            dist.all_reduce(total)
        losses.append(total.item())
    return losses


def kept(out: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in checkpoints(out)]


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file of this process grows past `after` bytes, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("background", [True, False])
def test_resumed_is_bitwise_the_whole_run(tmp_path, background) -> None:
    model = network(0)
    parts = adamw(model)
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1, background=background), World())
    train(model, parts, range(3))
    saving.save(TrainingState(model, parts).tensors(), {"step": 3, "loss": 0.1}, 3)
    after = [*train(model, parts, range(3, 8)), torch.rand(1).item()]  # goes on in place while the file is written
    saving.wait()

    model = network(1)
    parts = adamw(model)
    saved = saving.read(checkpoints(tmp_path)[-1])
    TrainingState(model, parts).load(saving, saved)
    assert saved.facts == {"step": 3, "loss": 0.1}
    assert [*train(model, parts, range(3, 8)), torch.rand(1).item()] == after


def test_newest_and_milestones_are_kept(tmp_path) -> None:
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1, keep=2, milestones=3), World())
    state = TrainingState(network(0), {})
    for step in range(1, 9):
        saving.save(state.tensors(), {}, step)
    saving.wait()
    assert kept(tmp_path) == [3, 6, 7, 8]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("room", [0, 100, 5000])
def test_a_full_disk_is_one_line_and_the_checkpoint_before_stands(tmp_path, room, background) -> None:
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1, keep=1), World())
    state = TrainingState(network(0), {})
    saving.save(state.tensors(), {}, 1, wait=True)
    with full_disk(room), pytest.raises(CheckpointError, match=r"step-00000002: cannot write .* File too large"):
        saving.save(state.tensors(), {}, 2, wait=not background)
        saving.wait()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    saving.save(state.tensors(), {}, 2, wait=True)
    assert kept(tmp_path) == [2]


def test_a_failure_in_the_background_is_seen(tmp_path) -> None:
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1), World())
    with full_disk(0):
        saving.save(TrainingState(network(0), {}).tensors(), {}, 1)
        deadline = time.monotonic() + 60
        while not saving.failed and time.monotonic() < deadline:
            time.sleep(0.01)
        assert saving.failed
        with pytest.raises(CheckpointError):
            saving.wait()
    assert not saving.failed


def test_what_a_kill_left_is_removed_and_never_taken_for_whole(tmp_path) -> None:
    torn = tmp_path / "checkpoints" / ".unfinished-step-00000009"
    torn.mkdir(parents=True)
    (torn / "__0_0.distcp").write_bytes(b"half")
    assert checkpoints(tmp_path) == []
    Checkpoints(tmp_path, CheckpointRecipe(every=1), World())
    assert not torn.exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write there"):
        Checkpoints(tmp_path / "file" / "run", CheckpointRecipe(every=1), World())


def test_going_on_from_an_older_checkpoint_sets_the_newer_ones_aside(tmp_path) -> None:
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1, keep=9), World())
    for step in (1, 2, 3):
        saving.save(TrainingState(network(0), {}).tensors(), {}, step)
    saving.wait()
    saving.abandon_after(1)
    assert kept(tmp_path) == [1]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "abandoned-step-00000002", "abandoned-step-00000003", "step-00000001",
    ]  # fmt: skip


def test_names_do_not_depend_on_wrappers(tmp_path) -> None:
    model = network(0)
    plain = TrainingState(model, {}).tensors()
    wrapped = nn.Sequential(checkpoint_wrapper(model[0]), model[1], checkpoint_wrapper(model[2]))
    assert TrainingState(wrapped, {}).tensors().keys() == plain.keys()
    assert "model.0.weight" in plain


def test_frozen_parameters_are_left_out_unless_nothing_else_has_them(tmp_path) -> None:
    model = network(0)
    model[0].requires_grad_(False)
    trained = {"model.2.weight", "model.2.bias"}
    assert {n for n in TrainingState(model, {}).tensors() if n.startswith("model.")} == trained
    whole = {n for n in TrainingState(model, {}, frozen=True).tensors() if n.startswith("model.")}
    assert whole == trained | {"model.0.weight", "model.0.bias"}


def test_a_parameter_without_a_gradient_yet_resumes_without_moments(tmp_path) -> None:
    model = network(0)
    parts = adamw(model)
    model[2](torch.ones(1, 5)).sum().backward()
    parts["adamw"].step()
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1), World())
    saving.save(TrainingState(model, parts).tensors(), {}, 1, wait=True)
    other = network(1)
    again = adamw(other)
    TrainingState(other, again).load(saving, saving.read(checkpoints(tmp_path)[0]))
    assert set(again["adamw"].state) == {other[2].weight, other[2].bias}
    assert again["adamw"].state[other[2].weight]["step"] == 1


def test_averages_are_taken_up_or_begin_with_the_run(tmp_path) -> None:
    model = network(0)
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1, keep=9), World())
    averages = {name: p.detach() + 1 for name, p in model.named_parameters()}
    saving.save(TrainingState(model, {}, averages).tensors(), {}, 1, wait=True)
    saving.save(TrainingState(model, {}).tensors(), {}, 2, wait=True)
    for step, offset in ((1, 1), (2, 0)):
        found = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        TrainingState(network(1), {}, found).load(saving, saving.read(saving.out / f"checkpoints/step-{step:08d}"))
        assert all(torch.equal(found[name], p + offset) for name, p in model.named_parameters())


def test_a_checkpoint_of_another_recipe_is_one_line(tmp_path) -> None:
    model = network(0)
    parts = adamw(model)
    train(model, parts, range(1))
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1), World())
    saving.save(TrainingState(model, parts).tensors(), {}, 1, wait=True)
    saved = saving.read(checkpoints(tmp_path)[0])

    larger = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 3))
    longer = nn.Sequential(*network(0), nn.Linear(3, 3))
    less = network(0)
    less[0].requires_grad_(False)
    for other, others in ((larger, adamw(larger)), (longer, adamw(longer)), (less, adamw(less)), (model, {})):
        with pytest.raises(CheckpointError, match="another recipe"):
            TrainingState(other, others).load(saving, saved)
    renamed = {"muon": parts["adamw"]}
    with pytest.raises(CheckpointError, match=r"another recipe: it has optimizer\.adamw"):
        TrainingState(model, renamed).load(saving, saved)


def test_what_cannot_be_read_is_one_line(tmp_path) -> None:
    saving = Checkpoints(tmp_path, CheckpointRecipe(every=1), World())
    state = TrainingState(network(0), {})
    folder = saving.save(state.tensors(), {}, 1, wait=True)
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        saving.read(tmp_path / "checkpoints" / "step-00000007")
    saved = saving.read(folder)
    (folder / "__0_0.distcp").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        state.load(saving, saved)
    (folder / ".metadata").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        saving.read(folder)


def test_another_runs_checkpoint_is_read_only_when_trusted(tmp_path) -> None:
    folder = Checkpoints(tmp_path / "theirs", CheckpointRecipe(every=1), World()).save(
        TrainingState(network(0), {}).tensors(), {"step": 1}, 1, wait=True
    )
    ours = Checkpoints(tmp_path / "ours", CheckpointRecipe(every=1), World())
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        ours.read(folder)
    assert ours.read(folder, trust=True).facts == {"step": 1}


def test_a_fingerprint_tells_weights_trained_anew_from_the_same_ones_elsewhere(tmp_path) -> None:
    weights = bytearray(os.urandom(3_000_000))
    for name in ("one", "same", "other"):
        (tmp_path / name).mkdir()
        if name == "other":
            weights[:] = os.urandom(len(weights))
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    item, same, other = (fingerprint(tmp_path / name) for name in ("one", "same", "other"))
    assert item == same != other


def test_export_is_whole_rounded_once_and_leaves_the_model_as_it_is(tiny_model_dir, tmp_path) -> None:
    model = load_pretrained(tiny_model_dir, dtype="float32")
    name = "language_model.model.norm.weight"
    averages = {name: model.get_parameter(name).detach() + 1}
    processor = NeoOVProcessor.from_pretrained(tiny_model_dir)
    export(model, processor, tmp_path / "final", World(), dtype=torch.bfloat16, averages=averages)
    written = load_pretrained(tmp_path / "final")
    assert written.dtype == torch.bfloat16 and model.dtype == torch.float32
    for key, parameter in model.named_parameters():
        assert torch.equal(written.get_parameter(key), averages.get(key, parameter).bfloat16())
    assert NeoOVProcessor.from_pretrained(tmp_path / "final").tokenizer.get_vocab() == processor.tokenizer.get_vocab()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """What `main` did on two ranks: the folder, and what each found."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(folder)], env={**common, "RANK": str(rank)}) for rank in (0, 1)
    ]
    try:
        assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_two_ranks_resume_bitwise_each_with_its_own_generator(two_ranks) -> None:
    _, (first, second) = two_ranks
    assert first["again"] == first["after"] == second["again"]
    assert first["draw"] == first["drawn"] and second["draw"] == second["drawn"]
    assert first["drawn"] != second["drawn"]


def test_two_ranks_saved_is_resumed_by_one(two_ranks) -> None:
    folder, (first, _) = two_ranks
    model = network(0)
    parts = adamw(model)
    assert [*train(model, parts, range(3)), *train(model, parts, range(3, 6))] == pytest.approx(
        [*first["before"], *first["after"]], rel=1e-5
    )
    model = network(1)
    parts = adamw(model)
    saving = Checkpoints(folder, CheckpointRecipe(every=1), World())
    TrainingState(model, parts).load(saving, saving.read(checkpoints(folder)[-1]))
    assert train(model, parts, range(3, 6)) == pytest.approx(first["after"], rel=1e-5)


def test_a_full_disk_of_one_rank_is_the_same_line_on_both(two_ranks) -> None:
    _, (first, second) = two_ranks
    assert len(first["errors"]) == 2 and first["errors"] == second["errors"]
    assert all("File too large" in error for error in first["errors"])
    assert first["standing"] == ["step-00000003"]


def main(folder: Path) -> None:
    """One of two ranks: train a sharded network, save it, fail to save it, resume it."""
    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo")
    model = network(0)
    torch.manual_seed(100 + rank)
    fully_shard(model)
    parts = adamw(model)
    saving = Checkpoints(folder, CheckpointRecipe(every=1), World(rank, 2))
    before = train(model, parts, range(3))
    saving.save(TrainingState(model, parts).tensors(), {"step": 3}, 3)
    after = train(model, parts, range(3, 6))
    drawn = torch.rand(1).item()
    saving.wait()

    errors = []
    for wait in (True, False):  # the disk of one rank alone takes no more
        with full_disk(200 if rank == 1 else resource.RLIM_INFINITY):
            try:
                saving.save(TrainingState(model, parts).tensors(), {"step": 6}, 6, wait=wait)
                saving.wait()
            except CheckpointError as error:
                errors.append(str(error))
    standing = [path.name for path in (folder / "checkpoints").iterdir()]

    model = network(rank + 1)
    fully_shard(model)
    parts = adamw(model)
    TrainingState(model, parts).load(saving, saving.read(checkpoints(folder)[-1]))
    again = train(model, parts, range(3, 6))
    found = {"before": before, "after": after, "again": again, "drawn": drawn, "draw": torch.rand(1).item()}
    (folder / f"rank{rank}.json").write_text(json.dumps({**found, "errors": errors, "standing": standing}))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
