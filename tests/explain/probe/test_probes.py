"""Each probe has a value that is known by construction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.evaluation.types import Item, Test
from pixelword.explain.probe import PROBES, compression, probe
from pixelword.explain.probe.cka import gram, similarity
from pixelword.explain.probe.drift import distances
from pixelword.explain.probe.forward import Asked, asked
from pixelword.explain.probe.intervention import between_images, cut, cut_at_random, restricted
from pixelword.explain.probe.page import html, write
from pixelword.explain.probe.parts import covariances
from pixelword.explain.probe.questions import Questions, bands
from pixelword.explain.probe.readout import colours, ridge
from pixelword.explain.probe.sinks import rows_attention
from pixelword.explain.probe.split import alone, apart
from pixelword.explain.probe.types import ratio
from pixelword.generation.session import Session
from pixelword.synthetic.types import Question

WORDS = ("what?", "which colour is it?")


def noise(seed: int, width: int = 64, height: int = 96) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"type": "image", "image": Image.fromarray(pixels)}


def conversation(*seeds: int, words: str = WORDS[0], first: bool = False) -> list[dict[str, Any]]:
    user = {"role": "user", "content": [*map(noise, seeds), {"type": "text", "text": "so?" if first else words}]}
    return [*([{"role": "system", "content": words}] if first else []), user]


def items(number: int, images: int, wanted: int | None, seed: int) -> list[Item]:
    return [
        Item(
            f"t/{n}", "t", "t", tuple(noise(10 * n + k + 1) for k in range(images)),
            Question("t", WORDS[n % 2], ("no", "yes", "red")[n % 3], "letter"),
        )
        for n in range(number)
    ]  # fmt: skip


def suite(number: int = 4, images: int = 2) -> list[Test]:
    return [Test("t", "t", "t", partial(items, number, images), number)]


@pytest.fixture(scope="module")
def session(sessions: Callable[..., Session]) -> Session:
    return sessions()


@pytest.fixture(scope="module")
def question(session: Session) -> Asked:
    return asked(session, "a", conversation(1, 2), "no")


def whole(question: Asked) -> range:
    return range(question.model.config.llm_config.num_hidden_layers)


def test_without_an_intervention_the_logits_are_the_models_to_the_bit(session: Session, question: Asked) -> None:
    inputs = session.processor.batch([question.encoded])
    with torch.no_grad():
        plain = session.model(**inputs, use_cache=False, logits_to_keep=question.rows).logits[0]
    nothing = torch.zeros_like(question.visual)
    assert torch.equal(question.logits(), plain)
    assert torch.equal(question.logits([cut(whole(question), nothing, question.visual)]), plain)


@pytest.mark.parametrize("bypass", [False, True])
def test_the_answers_tokens_are_where_the_model_writes_them(sessions: Callable[..., Session], bypass: bool) -> None:
    session = sessions(text_bypasses_pre_buffer=bypass)
    found = asked(session, "a", conversation(1), "no")
    assert session.processor.tokenizer.decode(found.targets) == "no<|im_end|>"
    prompt = session.processor.encode(conversation(1), add_generation_prompt=True)
    assert int(found.rows[0]) == len(prompt) - 1
    inputs = session.processor.batch([found.encoded])
    with torch.no_grad():
        plain = session.model(**inputs, use_cache=False, logits_to_keep=found.rows).logits[0]
    assert torch.equal(found.logits(), plain)


def test_cut_everywhere_an_answer_does_not_depend_on_its_images(session: Session, question: Asked) -> None:
    other = asked(session, "b", conversation(3, 4), "no")
    assert not torch.equal(question.logits(), other.logits())
    blind = [each.logits([cut(whole(each), each.text, each.visual)]) for each in (question, other)]
    assert torch.equal(*blind)


def test_a_cut_leaves_what_it_does_not_name(question: Asked) -> None:
    """Of attention itself: the hidden pairs get nothing, and rows still sum to 1."""
    holes = restricted(question.visible, [cut([1], question.text, question.visual)], 1)
    assert holes is not None and restricted(question.visible, [cut([1], question.text, question.visual)], 0) is None
    seen, plain = holes.dense(len(question.visual))[0, 0], question.visible.dense(len(question.visual))[0, 0]
    assert not seen[question.text][:, question.visual].any()
    assert torch.equal(seen[question.visual], plain[question.visual]) and bool(seen.diagonal().all())


def test_a_random_cut_hides_as_many_pairs(question: Asked) -> None:
    like = cut([0], question.text, question.visual)
    found = cut_at_random(like, question.visible, question.text, 3)
    plain = question.visible.dense(len(question.visual))[0, 0]
    assert int((like.hidden & plain).sum()) == int(found.hidden.sum()) == int((found.hidden & plain).sum())
    assert not found.hidden.diagonal().any() and not found.hidden[question.visual].any()
    assert torch.equal(found.hidden, cut_at_random(like, question.visible, question.text, 3).hidden)


def test_a_split_changes_nothing_where_no_text_is_read_before_the_images(sessions: Callable[..., Session]) -> None:
    """Text bypasses this pre-buffer, so that its reading images there goes nowhere."""
    found = asked(sessions(text_bypasses_pre_buffer=True), "a", conversation(1), "no")
    early = range(found.model.config.llm_config.extra_num_layers)
    torch.testing.assert_close(found.logits([cut(early, found.text, found.visual)]), found.logits())
    assert (found.logits(apart(found, early)) - found.logits()).abs().max() > 1e-4  # images read words there


def test_an_image_that_is_read_alone_has_the_same_states_anywhere(session: Session) -> None:
    found = [asked(session, "a", conversation(*seeds), "no") for seeds in ((1, 2), (3, 2))]
    early = range(2)
    alike = [each.states(alone(each, early))[2][each.images[1].start : each.images[1].stop] for each in found]
    torch.testing.assert_close(alike[0], alike[1])
    moved = asked(session, "a", conversation(2, 1), "no")
    torch.testing.assert_close(
        moved.states(alone(moved, early))[2][moved.images[0].start : moved.images[0].stop], alike[0]
    )
    assert not between_images(early, found[0].images, 9).hidden.all()


def test_drift_is_nothing_behind_the_image_and_with_text_cut_off(session: Session) -> None:
    behind = [asked(session, "a", conversation(1, words=words), "no") for words in WORDS]
    assert max(map(abs, distances(*behind))) < 1e-6
    before = [asked(session, "a", conversation(1, words=words, first=True), "no") for words in WORDS]
    assert max(distances(*before)) > 1e-3
    assert max(map(abs, distances(*before, cut_off=True))) < 1e-5


def test_the_parts_sum_to_the_scores_variance(question: Asked) -> None:
    for _, step in question.steps():
        found = covariances(question, step, question.rows)
        group = step.q.shape[1] // step.k.shape[1]
        k = step.k[0][:, question.visual].repeat_interleave(group, 0)
        scores = step.q[0][:, question.rows] @ k.transpose(1, 2)
        torch.testing.assert_close(found.sum(1), scores.var(-1, correction=0).sum(-1), rtol=1e-4, atol=1e-5)


def test_attention_of_some_rows_is_that_of_all(question: Asked) -> None:
    rows = torch.tensor([3, 9])
    for _, step in question.steps():
        every = rows_attention(question, step, torch.arange(len(question.visual)))
        torch.testing.assert_close(rows_attention(question, step, rows), every[:, rows])
        torch.testing.assert_close(every.sum(-1), torch.ones(every.shape[:2]))


def test_cka_of_a_layer_with_itself_is_one_whatever_its_scale_and_rotation() -> None:
    states = torch.randn(40, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = states @ torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))[0] * 3 + 1
    assert similarity(gram(states), gram(states)) == pytest.approx(1)
    assert similarity(gram(states), gram(turned)) == pytest.approx(1)
    other = torch.randn(40, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert abs(similarity(gram(states), gram(other))) < 0.15


def test_ridge_finds_what_is_linear(question: Asked) -> None:
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    true = torch.randn(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights, mean_y, mean_x = ridge(x, x @ true + 5, 1e-6)
    torch.testing.assert_close(weights, true, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((x - mean_x) @ weights + mean_y, x @ true + 5, rtol=1e-3, atol=1e-3)
    assert colours(question).shape == (int(question.visual.sum()), 12)


def test_layers_are_cut_into_bands_that_follow_each_other() -> None:
    assert bands(0, 3) == [range(0, 1), range(1, 2), range(2, 3)] and bands(2, 2) == []
    wide = bands(12, 40, 8)
    assert [wide[0].start, wide[-1].stop, len(wide)] == [12, 40, 8]
    assert [a.stop for a in wide[:-1]] == [b.start for b in wide[1:]]
    assert ratio([1, 2], [0, 0]).value == 0 and ratio([1, 2], [2, 4]).value == 0.5


def test_every_probe_runs_and_its_ends_are_known(session: Session, tmp_path: Path) -> None:
    found = {finding.name: finding for finding in probe(session, suite(), limit=4)}
    assert list(found) == list(PROBES)
    curves = {curve.name: curve for curve in found["retained"].curves}
    first = curves["text reads images in the first l layers"]
    assert first.x == (0, 1, 2, 3, 4)
    if found["retained"].bars[0].rate.value:  # the image adds something to these answers
        assert first.rates[0].value == pytest.approx(0) and first.rates[-1].value == pytest.approx(1)
    shares = [found["parts"].bar(f"{part}, the answer reads images").value for part in "THW"]
    assert sum(shares) == pytest.approx(1)
    for grid in found["cka"].grids:
        assert [grid.values[n][n] for n in range(5)] == pytest.approx([1.0] * 5)
    run = {"model": "tiny <&>"}
    write(tmp_path, list(found.values()), run, 2, {})
    page = (tmp_path / "probe.html").read_text(encoding="utf-8")
    assert (
        page.count("<svg") > 12
        and "tiny &lt;&amp;&gt;" in page
        and "http" not in page.replace("www.w3.org", "").replace("http://", "", page.count("xmlns"))
    )
    assert html(list(found.values()), run, 2) == page


def test_a_model_without_a_pre_buffer_has_no_split(sessions: Callable[..., Session]) -> None:
    session = sessions(extra_num_layers=0)
    found = [finding.name for finding in probe(session, suite(2, 1), limit=2, only=["knockout", "split", "retained"])]
    assert found == ["knockout", "retained"]


def test_mistakes_are_told(session: Session) -> None:
    with pytest.raises(InputError, match="unknown probe 'cut': choose from knockout"):
        next(probe(session, suite(), only=["cut"]))
    with pytest.raises(InputError, match="probes need questions about images"):
        Questions.of(session, suite(3, 0), limit=3, seed=0, report=lambda *_: None)


def test_other_tools_find_the_layers_by_their_usual_names(session: Session, question: Asked) -> None:
    """nnsight and nnterp address modules by path and read their outputs: names are transformers' own, and a layer's
    output is a tensor, as in transformers 5."""
    model, seen = session.model, {}
    modules = dict(model.named_modules())
    top = "language_model.model"
    names = [f"{top}.layers.{n}" for n in whole(question)]
    assert {f"{top}.embed_tokens", f"{top}.norm", "language_model.lm_head", *names} <= modules.keys()
    for name in names:
        assert {f"{name}.{part}" for part in ("self_attn", "mlp", "input_layernorm")} <= modules.keys()
    handles = [
        modules[name].register_forward_hook(lambda _, __, out, name=name: seen.update({name: out})) for name in names
    ]
    with torch.no_grad():
        model(**session.processor.batch([question.encoded]), use_cache=False)
    for handle in handles:
        handle.remove()
    for name, state in zip(names, question.states()[1:], strict=True):
        assert torch.equal(seen[name][0], state)


def test_compression_is_scored_with_random_beside_every_method(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "SIDE", 4)
    found = {item.name: item for item in compression.table(session, suite(2, 1), limit=2)}
    assert list(found) == ["compression-input", "compression-pre-buffer", "compression-cache", "compression-cost"]
    for stage in ("input", "pre-buffer", "cache"):
        curves = {curve.name: curve for curve in found[f"compression-{stage}"].curves}
        assert (
            "random" in curves and len(curves) >= 4 and all(curve.x == (12, 25, 50, 100) for curve in curves.values())
        )
    spent = compression.costs(session, side=4, rounds=1)
    assert [cost.kept for cost in spent[:4]] == [16, 8, 4, 2]
    assert spent[0].cache_bytes > spent[1].cache_bytes and spent[1].peak_tokens < spent[0].peak_tokens
