"""Distillation on text: whom it teaches what, what one step of it is, and that it keeps a student near."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from pixelword.checkpoints.delta import write_delta
from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.registry import find
from pixelword.errors import CheckpointError, RecipeError
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.processing.processor import NeoOVProcessor
from pixelword.training import distill
from pixelword.training.distill import Teacher, load_frozen, text_documents, text_places
from pixelword.training.trainer import Trainer

MIXED = ("data.mixture={colour: 1, pair: 1, text: 2}", "data.level=1", "optimizer.name=adamw")


@pytest.fixture
def before(tiny, tmp_path) -> Path:
    """The model that a stage begins with: random weights."""
    Trainer(tiny("steps=1", "optimizer.lr=1e-9", "optimizer.muon_lr=1e-9", out="before")).run()
    return tmp_path / "before" / "final"


def student(tiny, before: Path, *overrides: str, out: str = "run") -> Trainer:
    start = (f"model={{from: {before}}}", f"distill={{from: {before}}}")
    return Trainer(tiny(*MIXED, *start, *overrides, out=out))


def test_what_is_taught_is_text_alone(tiny, before) -> None:
    trainer = student(tiny, before)
    pack = trainer.source(0)
    found = text_documents(pack)
    ends = pack.cu_seqlens.tolist()
    types, labels = pack.mm_token_type_ids.flatten(), pack.labels.flatten()
    expected = [slice(a, b) for a, b in pairwise(ends) if types[a:b].sum() == 0 and (labels[a:b] != -100).any()]
    assert found == expected and 0 < len(found) < len(ends) - 1
    assert text_places([slice(2, 5), slice(7, 9)]).tolist() == [2, 3, 7]
    assert trainer.engine.teacher.weight([pack, pack]) == 2 * len(text_places(found))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_lesson_is_the_divergence_written_out(tiny, before, temperature, monkeypatch) -> None:
    """Against documents one by one, full logits and a sum; and in chunks as in one piece."""
    trainer = student(tiny, before, f"distill.temperature={temperature}", "distill.weight=0.5")
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pack, teacher = trainer.source(0), trainer.engine.teacher
    expected, places = 0.0, 0
    for place in text_documents(pack):
        ids = pack.input_ids.flatten()[place][None]
        said, wanted = (
            model.eval()(input_ids=ids).logits[0, :-1] / temperature for model in (trainer.model, teacher.model)
        )
        expected += F.kl_div(said.log_softmax(-1), wanted.log_softmax(-1), reduction="sum", log_target=True).item()
        places += ids.shape[1] - 1
    expected *= temperature**2 / places
    assert expected > 1e-4
    found = []
    for chunk in (1 << 25, 7 * teacher.model.config.llm_config.vocab_size):
        monkeypatch.setattr(distill, "CHUNK", chunk)
        _, kl = trainer.engine.backward([pack], pack.weight, places)
        gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
        trainer.engine.optimizer.zero_grad()
        assert kl == pytest.approx(expected, rel=1e-4)
        found.append(gradients)
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def test_gradients_are_those_of_loss_and_divergence(tiny, before) -> None:
    """By autograd on plain logits of the whole pack."""
    trainer = student(tiny, before, "distill.weight=3")
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    packs = [trainer.source(0), trainer.source(1)]
    weight, taught = sum(pack.weight for pack in packs), trainer.engine.teacher.weight(packs)
    loss, kl = trainer.engine.backward(packs, weight, taught)
    own = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    trainer.engine.optimizer.zero_grad()
    total, diverged = 0.0, 0.0
    for pack in packs:
        output = trainer.model.train()(**pack.inputs(), num_items_in_batch=weight, skip_logits=False)
        with torch.no_grad():
            wanted = trainer.engine.teacher.model(**pack.inputs()).logits
        places = text_places(text_documents(pack))
        said, wanted = (logits.flatten(0, 1)[places].log_softmax(-1) for logits in (output.logits, wanted))
        apart = F.kl_div(said, wanted, reduction="sum", log_target=True) / taught
        (output.loss + 3 * apart).backward()
        total, diverged = total + output.loss.item(), diverged + apart.item()
    assert (loss, kl) == pytest.approx((total, diverged), rel=1e-4)
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(own[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_a_pack_without_text_is_taught_nothing(tiny, before) -> None:
    trainer = student(tiny, before, "data.mixture={colour: 1}")
    pack = trainer.source(0)
    assert trainer.engine.teacher.weight([pack]) == 0 and trainer.engine.teacher.lesson(pack, 1) is None
    step = trainer.engine.step([pack], 0, 0.0)
    assert step.kl is None and step.loss > 0


def test_the_teacher_keeps_the_student_near_and_a_resumed_run_is_the_same(tiny, before) -> None:
    """Trained on other texts than the teacher knows, the student ends nearer to it; logged; and resumed bitwise."""

    def run(weight: float, out: str, resume: Path | None = None) -> tuple[float, Path]:
        overrides = ("steps=6", f"distill.weight={weight}", "optimizer.lr=1e-3", "schedule.warmup=0")
        start = (f"model={{from: {before}}}", f"distill={{from: {before}}}")
        recipe = tiny(*MIXED, *start, *overrides, out=out)
        Trainer(recipe, resume=resume).run()
        lines = [json.loads(line) for line in (recipe.out / "metrics.jsonl").read_text().splitlines()]
        return [line["kl"] for line in lines if line["event"] == "train"][-1], recipe.out

    near, folder = run(20.0, "near")
    far, _ = run(1e-6, "far")
    assert 0 < near < 0.7 * far
    _, again = run(20.0, "near", resume=folder / "checkpoints" / "step-00000003")
    assert again == folder
    fresh, other = run(20.0, "other")
    assert fresh == near
    ours, theirs = (load_file(path / "final" / "model.safetensors") for path in (folder, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_layers_that_add_nothing_are_left_out_of_a_teacher(tiny_model_dir, tmp_path) -> None:
    model = NeoOVForConditionalGeneration.from_pretrained(
        tiny_model_dir, dtype=torch.float32, attn_implementation="eager"
    )
    ids = torch.arange(4, 40)[None]
    assert len(load_frozen(tiny_model_dir, torch.float32, "eager", torch.device("cpu")).get_decoder().layers) == 2
    with torch.no_grad():
        idle = model.language_model.model.layers[0]
        idle.self_attn.o_proj.weight.zero_()
        idle.mlp.down_proj.weight.zero_()
        expected = model(input_ids=ids).logits
    model.save_pretrained(tmp_path / "grown")
    teacher = load_frozen(tmp_path / "grown", torch.float32, "eager", torch.device("cpu"))
    assert len(teacher.get_decoder().layers) == 1 and not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        assert torch.equal(teacher(input_ids=ids).logits, expected)


def test_a_teacher_may_be_a_delta_or_the_packaged_language_model_itself(tiny_base, tmp_path) -> None:
    """A grown model, its delta, and the language model that it grew from say the same of text."""
    model, tokenizer = grow(find(tiny_base), **tiny_base.growth, dtype=torch.float32)
    model.save_pretrained(tmp_path / "grown")
    NeoOVProcessor(tokenizer=tokenizer).save_pretrained(tmp_path / "grown")
    write_delta(tmp_path / "grown", tmp_path / "delta", base="tiny-lm")
    ids = torch.arange(4, 40)[None]
    said = []
    for place in (tmp_path / "grown", tmp_path / "delta", Path("tiny-lm")):
        teacher = load_frozen(place, torch.float32, "sdpa", torch.device("cpu"))
        assert len(teacher.get_decoder().layers) == model.config.llm_config.num_hidden_layers - 1  # idle ones are out
        with torch.no_grad():
            said.append(teacher(input_ids=ids).logits)
    assert said[0].std() > 0.1
    for other in said[1:]:
        torch.testing.assert_close(other, said[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(CheckpointError, match="no-such-model"):
        load_frozen(Path("no-such-model"), torch.float32, "sdpa", torch.device("cpu"))


def test_a_teacher_of_another_vocabulary_is_refused(tiny, before, tiny_model_dir) -> None:
    assert len(NeoOVProcessor.from_pretrained(tiny_model_dir).tokenizer) != len(
        NeoOVProcessor.from_pretrained(before).tokenizer
    )
    with pytest.raises(RecipeError, match=r"distill.from: .* tokens and the student"):
        Trainer(tiny(*MIXED, f"model={{from: {before}}}", f"distill={{from: {tiny_model_dir}}}"))


def test_without_a_teacher_there_is_no_divergence(tiny) -> None:
    trainer = Trainer(tiny())
    assert Teacher.of(trainer.recipe, 1, trainer.world) is None
    assert trainer.engine.step([trainer.source(0)], 0, 0.0).kl is None
