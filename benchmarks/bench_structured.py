"""What a grammar costs: steps of decoding with and without one in turn; and two libraries that compute its masks.

    python benchmarks/bench_structured.py                     # decoding at 135M, one and four answers (minutes)
    python benchmarks/bench_structured.py --libraries         # llguidance and xgrammar, where both are installed

The engine answers the same prompt with a JSON schema and without any form, alternating; the figure is the ratio of the
seconds a token within each pair. Libraries: a text is walked through the grammar that it satisfies, token by token.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import running
from cases import DECODED, QUICK

SIZES = (1, 4)
#: Long enough that no answer ends early: a string of many characters within an object.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "boxes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 999}, "minItems": 4},
        "words": {"type": "string", "minLength": 4000},
    },
    "required": ["colour", "boxes", "words"],
    "additionalProperties": False,
}
FLAT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "colour": {"enum": ["red", "green", "blue"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
    },
    "required": ["name", "age", "colour", "tags"],
    "additionalProperties": False,
}
NODE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["name", "children"],
    "additionalProperties": False,
}
BOX = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1000}, "minItems": 4, "maxItems": 4}
BOXES = {
    "type": "array",
    "minItems": 1,
    "maxItems": 20,
    "items": {
        "type": "object",
        "properties": {"label": {"type": "string", "pattern": "^[a-z ]{1,30}$"}, "box": BOX},
        "required": ["label", "box"],
        "additionalProperties": False,
    },
}
#: name -> (schema, a value of it).
WALKED: dict[str, tuple[dict[str, Any], Any]] = {
    "flat object": (
        FLAT,
        {"name": "Ada Lovelace of London", "age": 36, "colour": "green", "tags": ["first", "poetry"]},
    ),
    "boxes": (BOXES, [{"label": "red square", "box": [10, 20, 300, 400]}, {"label": "dot", "box": [5, 20, 80, 999]}]),
    "any object": ({"type": "object"}, {"a": [1, 2.5, {"b": None}], "text": "something longer, with words and é"}),
    "recursive": (
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"name": "root", "children": [{"name": "leaf", "children": []}, {"name": "other", "children": []}]},
    ),
}


#: Takes a sample.
Keep = Callable[[dict[str, Any]], None]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", action="store_true", help="compare the libraries instead")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of answers")
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--threads", type=int, default=running.cores())
    running.add_options(parser)
    return parser.parse_args(argv)


def decoding(args: argparse.Namespace, keep: Keep) -> None:
    """Pairs: seconds and processor seconds a token, free and with the grammar, of the same engine."""
    import torch
    from candidates import load
    from measure import competing, ticks
    from transformers import AutoTokenizer

    from pixelword.checkpoints.names import resolve
    from pixelword.generation.engine_core import EngineCore
    from pixelword.generation.request import BatchingOptions
    from pixelword.generation.sampling import Sampling
    from pixelword.generation.structured_outputs import StructuredOutputs
    from pixelword.processing.processor import NeoOVProcessor

    shape = replace(QUICK, vocab_size=2048) if args.quick else DECODED["135m"]
    torch.set_num_threads(args.threads)
    model = load("ours", shape).eval()
    model.generation_config.eos_token_id = 2
    # nano's tokens in the vocabulary of the shape, padded: the mask is over all of it
    processor = NeoOVProcessor(tokenizer=AutoTokenizer.from_pretrained(resolve("nano")))
    core = EngineCore(model, processor, BatchingOptions(num_speculative_tokens=0, prefix_bytes=0))
    prompt = processor.encode([{"role": "user", "content": "describe " * 60}], add_generation_prompt=True)
    structure = StructuredOutputs(json=SCHEMA)
    core.grammars.compile(structure)

    def run(size: int, form: StructuredOutputs | None) -> tuple[float, float]:
        sampling = Sampling(args.tokens, structured_outputs=form, min_tokens=args.tokens - 1)
        requests = [core.add(prompt, sampling, lambda token: None) for _ in range(size)]
        while any(request.usage.completion_tokens < 1 for request in requests):
            for request in requests:
                request.raise_error()
            core.step()
        began, used, steps = time.perf_counter(), time.process_time(), core.steps
        core.run()
        taken = core.steps - steps
        return (time.perf_counter() - began) / taken, (time.process_time() - used) / taken

    with torch.inference_mode():
        run(max(SIZES), structure)
        for turn in range(args.rounds):
            for size in SIZES:
                before = ticks()
                forms = (None, structure) if turn % 2 else (structure, None)
                found = {form is not None: run(size, form) for form in forms}
                keep(
                    {
                        "round": turn,
                        "answers": size,
                        "free_s": found[False][0],
                        "grammar_s": found[True][0],
                        "free_processor_s": found[False][1],
                        "grammar_processor_s": found[True][1],
                        "competing_cores": competing(before, ticks()),
                    }
                )


def vocabularies() -> dict[str, tuple[list[bytes], int]]:
    """name -> (each token's bytes, the end): nano's, and Qwen's where the package dashscope is, which carries it."""
    from transformers import AutoTokenizer

    from pixelword.checkpoints.names import resolve
    from pixelword.processing.token_bytes import TokenBytes

    tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
    own = TokenBytes(tokenizer)
    found = {"nano": ([own(token) for token in range(len(tokenizer))], 2)}
    try:
        file = Path(str(metadata.distribution("dashscope").locate_file("dashscope/resources/qwen.tiktoken")))
    except metadata.PackageNotFoundError:
        return found
    tokens = [base64.b64decode(line.split()[0]) for line in file.read_text().splitlines()]
    end, padded = len(tokens), 151936
    return found | {"Qwen": (tokens + [b"<|im_end|>"] + [b""] * (padded - end - 1), end)}


def libraries(args: argparse.Namespace, keep: Keep) -> None:
    """For each vocabulary and schema: milliseconds to compile, microseconds of each mask."""
    import llguidance
    import xgrammar

    for name, (tokens, end) in vocabularies().items():

        class Words:
            special_token_ids, eos_token_id, bos_token_id = (end,), end, None

            def __init__(self, tokens: list[bytes]) -> None:
                self.tokens = tokens

            def __call__(self, text: bytes) -> list[int]:
                return []

        began = time.perf_counter()
        known = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Words(tokens)), eos_token=[end])
        ready = time.perf_counter()
        info = xgrammar.TokenizerInfo(tokens, xgrammar.VocabType.RAW, vocab_size=len(tokens), stop_token_ids=[end])
        tokenizers_s = {"llguidance": ready - began, "xgrammar": time.perf_counter() - ready}
        ids = _greedy(tokens[:end] if end > 2 else tokens)
        for schema_name, (schema, value) in WALKED.items():
            walk = ids(json.dumps(value, ensure_ascii=False))
            for library, work in (("llguidance", _llguidance(known)), ("xgrammar", _xgrammar(info, len(tokens)))):
                compile_s, masks = work(schema, walk)
                keep(
                    {
                        "vocabulary": f"{name}, {len(tokens):,}",
                        "schema": schema_name,
                        "library": f"{library} {metadata.version(library)}",
                        "tokenizer_ms": 1e3 * tokenizers_s[library],
                        "compile_ms": 1e3 * compile_s,
                        "mask_us": 1e6 * sum(masks) / len(masks),
                        "mask_median_us": 1e6 * median(masks),
                        "mask_most_us": 1e6 * max(masks),
                    }
                )


def _greedy(tokens: list[bytes]) -> Callable[[str], list[int]]:
    known = {token: number for number, token in reversed(list(enumerate(tokens))) if token}
    longest = max(map(len, known))

    def encode(text: str) -> list[int]:
        rest, found = text.encode(), list[int]()
        while rest:
            size = next(size for size in range(min(longest, len(rest)), 0, -1) if rest[:size] in known)
            found.append(known[rest[:size]])
            rest = rest[size:]
        return found

    return encode


Walk = Callable[[dict[str, Any], list[int]], tuple[float, list[float]]]


def _walk(tokens: list[int], mask: Callable[[], object], accept: Callable[[int], bool]) -> list[float]:
    masks = []
    for token in tokens:
        began = time.perf_counter()
        mask()
        masks.append(time.perf_counter() - began)
        assert accept(token)
    return masks


def _llguidance(tokenizer: Any) -> Walk:
    from llguidance import LLMatcher

    from pixelword.generation.grammar import lark
    from pixelword.generation.structured_outputs import StructuredOutputs

    def work(schema: dict[str, Any], tokens: list[int]) -> tuple[float, list[float]]:
        began = time.perf_counter()
        matcher = LLMatcher(tokenizer, lark(StructuredOutputs(json=schema)))
        return time.perf_counter() - began, _walk(tokens, matcher.compute_bitmask, matcher.consume_token)

    return work


def _xgrammar(info: Any, size: int) -> Walk:
    import xgrammar

    def work(schema: dict[str, Any], tokens: list[int]) -> tuple[float, list[float]]:
        compiler, bits = xgrammar.GrammarCompiler(info, max_threads=1), xgrammar.allocate_token_bitmask(1, size)
        began = time.perf_counter()
        matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
        taken = time.perf_counter() - began
        return taken, _walk(tokens, lambda: matcher.fill_next_token_bitmask(bits), matcher.accept_token)

    return work


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Structured output", meta)
    if pairs := [sample for sample in samples if "answers" in sample]:
        lines += [
            "## Decoding",
            "",
            "| answers at once | a step, free | with a grammar | ratio | processor time | others |",
        ]
        lines.append("|---:|---:|---:|---:|---:|---:|")
        for size in SIZES:
            own = [sample for sample in pairs if sample["answers"] == size]
            free, bound = (median(sample[name] for sample in own) for name in ("free_s", "grammar_s"))
            ratios = [sample["grammar_s"] / sample["free_s"] for sample in own]
            used = [sample["grammar_processor_s"] / sample["free_processor_s"] for sample in own]
            others = [sample["competing_cores"] for sample in own if sample["competing_cores"] is not None]
            lines.append(
                f"| {size} | {1e3 * free:.1f} ms | {1e3 * bound:.1f} ms | {_spread(ratios)} | {_spread(used)} | "
                f"{median(others):.1f} |"
            )
        lines += [
            "",
            "Ratios: the median (lowest–highest) of the ratios within a pair; above 1, the grammar costs.",
            "",
        ]
    if walks := [sample for sample in samples if "library" in sample]:
        lines += [
            "## Libraries",
            "",
            "| vocabulary | schema | library | vocabulary read | compiled | mask: mean | median | most |",
        ]
        lines.append("|---|---|---|---:|---:|---:|---:|---:|")
        lines += [
            f"| {s['vocabulary']} | {s['schema']} | {s['library']} | {s['tokenizer_ms']:.0f} ms | "
            f"{s['compile_ms']:.1f} ms | {s['mask_us']:.0f} µs | {s['mask_median_us']:.0f} µs | "
            f"{s['mask_most_us']:.0f} µs |"
            for s in walks
        ]
        lines.append("")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def main() -> None:
    args = arguments()
    if args.render:
        running.write_page(args.render.with_suffix(".md"), render(*running.read(args.render)), "bench_structured.py")
        return
    meta = running.describe(args.hardware) | {"threads": args.threads, "quick": args.quick}
    what = "structured-libraries" if args.libraries else "structured"
    kept = not args.quick or args.output != running.RESULTS
    path = args.output / f"{what}-{meta['hardware']}-{meta['date']}.jsonl" if kept else None
    samples: list[dict[str, Any]] = []
    running.begin(path, meta, samples)

    def keep(sample: dict[str, Any]) -> None:
        print(sample, flush=True)
        samples.append(sample)
        running.keep(path, sample)

    (libraries if args.libraries else decoding)(args, keep)
    if path is None:
        print(render(meta, samples))
        return
    running.write_page(path.with_suffix(".md"), render(meta, samples), "bench_structured.py")
    print(f"wrote {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
