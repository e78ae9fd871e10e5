"""The checks: each lays what a port returns beside golden values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import golden
from .golden import CHECKPOINTS, GOLDEN, RELEASED, RELEASED_MODELS, TINY, grouped, read_json, tiny_inputs
from .ports import offered
from .types import VISUAL_RUN, Array, Inputs, NotOffered, Tolerance

State = Literal["holds", "differs", "failed", "skipped"]
Origin = Literal["released code", "reference"]
#: Turns the case's inputs into what a port returns.
Compute = Callable[[Any], Any]


@dataclass(frozen=True)
class Outcome:
    """What a check found. detail: the error that was measured, or why there is none."""

    state: State
    detail: str


@dataclass(frozen=True)
class Check:
    """One promise.

    Attributes:
        name: Checkpoint, case and what is compared: "tiny-tied/video/logits".
        folder: The checkpoint's; None where none is needed.
        origin: Who computed the golden values.
        run: (port, tolerance) -> outcome; raises `NotOffered`.
    """

    name: str
    folder: Path
    origin: Origin
    run: Callable[[Any, Tolerance], Outcome]

    def outcome(self, port: Any, tolerance: Tolerance) -> Outcome:
        """Never raises: what a port raises is a finding about it."""
        try:
            return self.run(port, tolerance)
        except NotOffered as reason:
            return Outcome("skipped", str(reason))
        except Exception as error:
            return Outcome("failed", f"{type(error).__name__}: {error}".splitlines()[0][:200])


def result(holds: bool, detail: str) -> Outcome:
    return Outcome("holds" if holds else "differs", detail)


def compare_vectors(found: Any, expected: Array, tolerance: Tolerance) -> Outcome:
    """Row by row; one row alone is the last."""
    found = np.asarray(found, np.float64)
    if found.ndim == 2 and len(found) == 1 < len(expected):
        expected = expected[-1:]
    if found.shape != expected.shape:
        return result(False, f"shape {found.shape} instead of {expected.shape}")
    if not np.isfinite(found).all():
        return result(False, "not all numbers are finite")
    errors = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    worst = int(errors.argmax())
    return result(errors[worst] <= tolerance.relative, f"error {errors[worst]:.1e} at {worst}")


def compare_integers(found: Any, expected: Array) -> Outcome:
    found = np.asarray(found)
    if found.shape != expected.shape:
        return result(False, f"shape {found.shape} instead of {expected.shape}")
    wrong = np.argwhere(found != expected)
    if not len(wrong):
        return result(True, "equal")
    place = tuple(int(item) for item in wrong[0])
    return result(False, f"{len(wrong)} differ; at {place} {found[place]} instead of {expected[place]}")


def compare_greedy(found: Any, expected: Array, margins: Array, tolerance: Tolerance) -> Outcome:
    """Equal up to the first token whose choice rounding may turn."""
    found = np.asarray(found)[: len(expected)]
    if len(found) == len(expected) and (found == expected).all():
        return result(True, f"{len(expected)} tokens equal")
    place = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), len(found))
    if place < len(found) and margins[place] <= tolerance.margin:
        return result(True, f"equal up to a near tie at {place}")
    tokens = f"{found.tolist()} instead of {expected.tolist()}"
    return result(False, f"differs at {place}: {tokens}")


def _vectors(name: str, arguments: tuple[Any, ...], expected: Array, port: Any, tolerance: Tolerance) -> Outcome:
    return compare_vectors(offered(port, name)(*arguments), expected, tolerance)


def _positions(inputs: Inputs, expected: Array, port: Any, tolerance: Tolerance) -> Outcome:
    return compare_integers(np.asarray(offered(port, "positions")(inputs))[: len(expected)], expected)


def _greedy(inputs: Inputs, case: dict[str, Array], port: Any, tolerance: Tolerance) -> Outcome:
    tokens = offered(port, "generate")(inputs, len(case["new_tokens"]))
    return compare_greedy(tokens, case["new_tokens"], case["margins"], tolerance)


def _steps(inputs: Inputs, case: dict[str, Array], port: Any, tolerance: Tolerance) -> Outcome:
    """Logits at the golden answer's tokens: `logits` of prompt and answer at once."""
    answer = case["new_tokens"]
    found = np.asarray(offered(port, "logits")(inputs.then(Inputs(answer[:-1]))))
    return compare_vectors(found[-len(answer) :], case["step_logits"], tolerance)


def _cached_steps(inputs: Inputs, case: dict[str, Array], port: Any, tolerance: Tolerance) -> Outcome:
    """The same, each token read by itself through the cache."""
    answer = case["new_tokens"]
    cuts = tuple(range(len(inputs), len(inputs) + len(answer) - 1))
    found = np.asarray(offered(port, "chunked")(inputs.then(Inputs(answer[:-1])), cuts))
    return compare_vectors(found[-len(answer) :], case["step_logits"], tolerance)


def _batch(rows: list[Inputs], expected: list[Array], port: Any, tolerance: Tolerance) -> Outcome:
    found = offered(port, "batch_logits")(rows)
    outcomes = [compare_vectors(*pair, tolerance) for pair in zip(found, expected, strict=True)]
    return next(
        (outcome for outcome in outcomes if outcome.state != "holds"), max(outcomes, key=lambda item: item.detail)
    )


def _tokens(cases: dict[str, str], tensors: dict[str, dict[str, Array]], port: Any, tolerance: Tolerance) -> Outcome:
    for name, prompt in cases.items():
        outcome = compare_integers(offered(port, "tokens")(prompt), tensors[name]["input_ids"])
        if outcome.state != "holds":
            return result(False, f"{name}: {outcome.detail}")
    return result(True, f"{len(cases)} prompts equal")


def _prompts(port: Any, tolerance: Tolerance) -> Outcome:
    cases = read_json(RELEASED / "prompts.json")
    for case in cases:
        turns = [{"role": "system", "content": case["system"]}] if case["system"] else []
        for question, answer in case.get("history", ()):
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        found = offered(port, "prompt")([*turns, {"role": "user", "content": case["question"]}])
        if VISUAL_RUN.sub("<IMG_CONTEXT>", found) != VISUAL_RUN.sub("<IMG_CONTEXT>", case["prompt"]):
            return result(False, f"{case['name']}: {found!r}")
    return result(True, f"{len(cases)} prompts equal")


def _sizes(port: Any, tolerance: Tolerance) -> Outcome:
    cases = read_json(RELEASED / "image-preparation" / "image_preparation.json")["smart_resize"]
    for case in cases:
        size = case["height"], case["width"]
        found = tuple(offered(port, "resize")(*size, case["min_pixels"], case["max_pixels"]))
        if found != tuple(case["resized"]):
            return result(False, f"{size}: {found} instead of {tuple(case['resized'])}")
    return result(True, f"{len(cases)} sizes equal")


def _image(case: dict[str, Any], port: Any, tolerance: Tolerance) -> Outcome:
    folder = RELEASED / "image-preparation"
    pixels, grid = offered(port, "image")(folder / case["file"], case["min_pixels"], case["max_pixels"])
    if [int(side) for side in grid] != case["grid_hw"]:
        return result(False, f"grid {list(grid)} instead of {case['grid_hw']}")
    golden_pixels = golden.tensors(folder / "image_preparation.safetensors")
    expected = golden_pixels[f"{Path(case['file']).stem}.pixel_values"].astype(np.float64)
    found = np.asarray(pixels).astype(np.float16).astype(np.float64)
    if found.shape != expected.shape:
        return result(False, f"shape {found.shape} instead of {expected.shape}")
    error = float(np.abs(found - expected).mean())
    return result(error <= tolerance.pixel, f"mean error {error:.1e}")


def released_checks() -> Iterator[Check]:
    """What the released code computed."""
    add = partial(Check, origin="released code")
    yield add("released/sizes", CHECKPOINTS / TINY[0], run=_sizes)
    yield add("released/prompts", CHECKPOINTS / TINY[0], run=_prompts)
    for case in read_json(RELEASED / "image-preparation" / "image_preparation.json")["images"]:
        yield add(f"released/image/{Path(case['file']).stem}", CHECKPOINTS / TINY[0], run=partial(_image, case))
    for name in RELEASED_MODELS:
        folder = RELEASED / "neo-parity" / name
        values = golden.tensors(folder / "packed_forward.safetensors")
        starts = tuple(int(seqlen) for seqlen in values["cu_seqlens"][:-1])
        packed = Inputs(values["input_ids"], values["pixel_values"], values["grid_hw"], starts)
        prefix = f"released-{name}/packed"
        yield add(f"{prefix}/positions", folder, run=partial(_positions, packed, values["t_index"][None]))
        arguments = (packed.pixel_values, packed.grid_hw)
        yield add(
            f"{prefix}/embeddings", folder, run=partial(_vectors, "embeddings", arguments, values["visual_embeds"])
        )
        yield add(f"{prefix}/logits", folder, run=partial(_vectors, "logits", (packed,), values["logits"]))
        for case_name, case in grouped(folder / "greedy_generate.safetensors").items():
            highest = np.sort(case["step_logits"], -1)
            case = {**case, "margins": highest[:, -1] - highest[:, -2]}
            inputs = Inputs(case["input_ids"], case["pixel_values"], case["grid_hw"])
            prefix = f"released-{name}/{case_name}"
            yield add(f"{prefix}/positions", folder, run=partial(_positions, inputs, case["thw_index"]))
            yield add(f"{prefix}/greedy", folder, run=partial(_greedy, inputs, case))
            yield add(f"{prefix}/logits", folder, run=partial(_steps, inputs, case))
            yield add(f"{prefix}/cached-steps", folder, run=partial(_cached_steps, inputs, case))


def tiny_checks() -> Iterator[Check]:
    """What the reference computed, of the tiny checkpoints."""
    for name in TINY:
        folder, values = CHECKPOINTS / name, grouped(GOLDEN / f"{name}.safetensors")
        add = partial(Check, folder=folder, origin="reference")
        prompts = {item["name"]: item["prompt"] for item in read_json(GOLDEN / f"{name}.json")["cases"]}
        yield add(f"{name}/tokens", run=partial(_tokens, prompts, values))
        inputs = {case: tiny_inputs(case, tensors) for case, tensors in values.items()}
        for case, tensors in values.items():
            own = inputs[case]
            yield add(f"{name}/{case}/positions", run=partial(_positions, own, tensors["positions"]))
            if len(own.grid_hw):
                arguments = (own.pixel_values, own.grid_hw)
                run = partial(_vectors, "embeddings", arguments, tensors["embeddings"])
                yield add(f"{name}/{case}/embeddings", run=run)
            yield add(f"{name}/{case}/logits", run=partial(_vectors, "logits", (own,), tensors["logits"]))
            yield add(f"{name}/{case}/greedy", run=partial(_greedy, own, tensors))
        packed = ("text", "several", "one")
        run = partial(_vectors, "logits", (pack([inputs[item] for item in packed]),))
        expected = np.concatenate([values[item]["logits"] for item in packed])
        yield add(f"{name}/packed/logits", run=partial(run, expected))
        order = sorted(inputs)
        rows = [inputs[item] for item in order]
        yield add(f"{name}/batch/logits", run=partial(_batch, rows, [values[item]["logits"] for item in order]))
        for kind, (case, cuts) in cut_cases(inputs, read_json(folder / "config.json")["img_context_token_id"]).items():
            run = partial(_vectors, "chunked", (inputs[case], cuts), values[case]["logits"])
            yield add(f"{name}/{kind}/logits", run=run)


def pack(documents: list[Inputs]) -> Inputs:
    """Several sequences as documents of one."""
    ends = np.cumsum([len(document) for document in documents])
    whole = documents[0]
    for document in documents[1:]:
        whole = whole.then(document)
    return Inputs(whole.input_ids, whole.pixel_values, whole.grid_hw, (0, *(int(end) for end in ends[:-1])))


def cut_cases(inputs: dict[str, Inputs], context_id: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Case and cuts: between text and text, inside every image, after the first turn's answer, and at every token that
    is not inside an image."""
    both = zip(inputs["one"].input_ids, inputs["one-other-question"].input_ids, strict=False)
    shared = next(place for place, (first, second) in enumerate(both) if first != second)
    ids = inputs["several"].input_ids
    visual = np.flatnonzero(ids == context_id)
    first_tokens = np.cumsum([0, *inputs["several"].image_tokens[:-1]])
    inside = tuple(int(visual[token]) + 2 for token in first_tokens)
    text = [int(i) for i, (a, b) in enumerate(pairwise(inputs["video"].input_ids), 1) if context_id not in (a, b)]
    return {
        "prefix-cut": ("one-other-question", (shared,)),
        "chunk-cut": ("several", inside),
        "resumed-cut": ("resumed", (len(inputs["one"]), len(inputs["one"]) + 3)),
        "token-by-token": ("video", tuple(text)),
    }


def all_checks() -> list[Check]:
    """Every check of a port, those of one checkpoint together."""
    return sorted([*released_checks(), *tiny_checks()], key=lambda item: str(item.folder))
