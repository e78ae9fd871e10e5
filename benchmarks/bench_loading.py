"""A checkpoint as it is and rounded: memory, loading, first token, decoding, and how far its logits and answers move.

python benchmarks/bench_loading.py nano                     # and its own questions
python benchmarks/bench_loading.py 2b --folder build/2b     # a checkpoint; random weights of the size, if missing
python benchmarks/bench_loading.py --render benchmarks/results/loading-….jsonl
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import running

#: Title, `dtype` and `quantize` of each way; "bfloat16 mixed" is what a machine without room for float32 takes.
WAYS: dict[str, tuple[str, str | None]] = {
    "float32": ("float32", None),
    "bfloat16": ("bfloat16", None),
    "mixed": ("mixed", None),
    "int8": ("float32", "int8"),
    "int4": ("float32", "int4"),
}
SIDE = 512  # pixels: 256 visual tokens
STEPS = 6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="nano", help="title of the table, and the model without --folder")
    parser.add_argument("--folder", type=Path, help="the checkpoint; made with random weights if missing")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--questions", type=int, default=0, help="of each kind of the suite nano, to be answered")
    parser.add_argument("--threads", type=int, default=running.cores())
    parser.add_argument("--timeout", type=float, default=900)
    running.add_options(parser)
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def write_random(config: Any, folder: Path) -> None:
    """A checkpoint without a tokenizer, with random weights in bfloat16."""
    import torch

    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.utils.files import whole_folder

    torch.manual_seed(0)
    model = NeoOVForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    with whole_folder(folder) as new:
        model.save_pretrained(new, max_shard_size="1GB")


def check_folder(name: str, folder: Path) -> None:
    """Make a missing checkpoint of a known size. Raises SystemExit for another name."""
    from pixelword.model import NeoOVConfig
    from pixelword.model.sizes import SIZES

    if folder.exists():
        return
    if name not in SIZES:
        raise SystemExit(f"{folder} is missing, and {name} is not a size to make it of: {', '.join(SIZES)}")
    print(f"writing random weights to {folder} …")
    write_random(NeoOVConfig(**SIZES[name]), folder)


def sample(model_name: str, way: str, results: Path, questions: int) -> dict[str, Any]:
    """Measure a way in this process. results: a folder where each way leaves its logits and answers."""
    import torch
    from measure import competing, peak, resident, ticks

    from pixelword import machine
    from pixelword.checkpoints.matrices import load_mixed
    from pixelword.checkpoints.names import resolve
    from pixelword.generation.loading import load_model
    from pixelword.generation.mixed import hold_small

    dtype, quantize = WAYS[way]
    load_model("nano", dtype="float32", quantize=quantize)  # imports, and what is measured once
    machine.widening_pays()
    base, before = resident(), ticks()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    began, used = time.perf_counter(), time.process_time()
    if dtype == "mixed":
        model = load_mixed(resolve(model_name))
        hold_small(model)
    else:
        model = load_model(model_name, dtype=dtype, quantize=quantize)
    found: dict[str, Any] = {"load_s": time.perf_counter() - began, "load_cpu_s": time.process_time() - used}
    config, generator = model.config, torch.Generator().manual_seed(0)
    grid = SIDE // 16
    tokens = (grid // 2) ** 2
    words = torch.randint(300, 600, (4,), generator=generator)
    visual = torch.full((tokens,), config.img_context_token_id)
    ends = torch.tensor([config.img_start_token_id]), torch.tensor([config.img_end_token_id])
    inputs = {
        "input_ids": torch.cat((ends[0], visual, ends[1], words))[None],
        "pixel_values": torch.randn(grid * grid, 768, generator=generator),
        "image_grid_hw": torch.tensor([[grid, grid]]),
    }
    with torch.inference_mode():
        took, used = time.perf_counter(), time.process_time()
        out = model(**inputs, use_cache=True, logits_to_keep=1)
        found |= {"first_s": time.perf_counter() - took, "first_cpu_s": time.process_time() - used}
        logits, token, steps, cpu = out.logits[0, -1].float(), out.logits.argmax(-1), [], []
        for _ in range(STEPS):
            took, used = time.perf_counter(), time.process_time()
            out = model(input_ids=token, cache=out.cache, use_cache=True)
            token = out.logits.argmax(-1)
            steps.append(time.perf_counter() - took)
            cpu.append(time.process_time() - used)
    found |= {"step_s": min(steps), "step_cpu_s": min(cpu), "peak_bytes": peak() - base}
    found["prompt"] = inputs["input_ids"].shape[1]
    said = _answers(model, model_name, questions) if questions else None
    torch.save({"logits": logits, "said": said}, results / f"{way}.pt")
    if (results / "float32.pt").exists():
        exact = torch.load(results / "float32.pt")
        found["logits"] = float((logits - exact["logits"]).norm() / exact["logits"].norm())
        if said is not None:
            found["changed"] = sum(a != b for a, b in zip(said["text"], exact["said"]["text"], strict=True))
    if said is not None:
        found |= {"right": said["right"], "asked": len(said["text"])}
    return found | {"competing_cores": competing(before, ticks())}


def _answers(model: Any, name: str, questions: int) -> dict[str, Any]:
    """The texts of the suite nano's questions, and how many of them are right."""
    from pixelword.checkpoints.names import resolve
    from pixelword.evaluation import nano
    from pixelword.generation.sampling import Sampling
    from pixelword.generation.session import Session
    from pixelword.processing import NeoOVProcessor

    session = Session(model, NeoOVProcessor.from_pretrained(resolve(name)))
    text, right = [], 0
    for test in nano.tests():
        for item in test.items(questions, 0):
            content = [*item.media, {"type": "text", "text": item.question.words}]
            answer = session.answer([{"role": "user", "content": content}], Sampling(max_new_tokens=64)).text
            text.append(answer)
            right += answer == item.question.answer
    return {"text": text, "right": right}


METHOD = """\
## How

- **Memory**: the peak of the whole run, loading, prompt and cache included, less what the process had before.
- **Loading**: from files that the system has in memory. **First token**: a prompt of {prompt} tokens, 256 of them
  visual. **Decode**: the best of {steps} steps. Every row is a process of its own, in parentheses with its own
  processor-seconds, all threads together.
- **Read**: the bytes of the matrices that a step reads, as they are held, by processor-second of the step.
- **Logits**: the distance of the prompt's last logits from float32's, relative to their length.
- *mixed*: weights in bfloat16, products in float32: the default where bfloat16 is emulated and float32 does not fit.
- **Others**: cores that other processes kept busy. Above about 0.1, trust nothing but processor-seconds.
"""


def render(meta: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    lines = running.heading("Loading and rounding", meta)
    for name in dict.fromkeys(s["name"] for s in samples):
        here = [s for s in samples if s["name"] == name]
        lines += [f"## {name}", ""]
        titles = ["memory", "loading", "first token", "decode", "read", "logits", "answers", "others"]
        lines += ["| | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
        lines += [_row(s) for s in here] + [""]
    prompt = next((s["prompt"] for s in samples if "prompt" in s), 0)
    return "\n".join([*lines, METHOD.format(prompt=prompt, steps=STEPS)])


def _row(s: dict[str, Any]) -> str:
    if "failed" in s:
        return f"| {s['way']} | failed: {s['failed']} |"
    read = s["read_bytes"] / s["step_cpu_s"]
    answers = "–"
    if "asked" in s:
        answers = f"{s['right']} of {s['asked']} right"
        answers += f", {s['changed']} changed" if "changed" in s else ""
    cells = [
        s["way"],
        f"{s['peak_bytes'] / 1e9:.2f} GB",
        f"{s['load_s']:.1f} s ({s['load_cpu_s']:.1f})",
        f"{s['first_s']:.2f} s ({s['first_cpu_s']:.2f})",
        f"{1 / s['step_s']:.2f}/s ({s['step_cpu_s']:.3f} s)",
        f"{read / 1e9:.1f} GB",
        f"{s['logits']:.2%}" if s.get("logits") else "–",
        answers,
        "unknown" if s["competing_cores"] is None else f"{s['competing_cores']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def read_bytes(folder: str, way: str) -> float:
    """Bytes of the matrices, as they are held, that a step reads."""
    from pixelword.checkpoints.names import resolve
    from pixelword.checkpoints.released import read_config
    from pixelword.model.footprint import count_parameters

    parts = count_parameters(read_config(resolve(folder)))
    numbers = parts["pre-buffer"] + parts["post-LLM"] + parts["token embedding"]
    return numbers * {"float32": 4, "bfloat16": 2, "mixed": 2, "int8": 1, "int4": 4.25 / 8}[way]


def main() -> None:
    args = arguments()
    model = str(args.folder or args.name)
    if args.child:
        import torch

        torch.set_num_threads(args.threads)
        way, results = args.child
        found = sample(model, way, Path(results), args.questions)
        running.answer(found | {"read_bytes": read_bytes(model, way)})
        return
    if args.render:
        running.write_page(args.render.with_suffix(".md"), render(*running.read(args.render)), "bench_loading.py")
        return
    if args.folder:
        check_folder(args.name, args.folder)
    meta = running.describe(args.hardware) | {"threads": args.threads}
    path = args.output / f"loading-{meta['hardware']}-{meta['date']}.jsonl"
    passed = [args.name, "--threads", str(args.threads), "--questions", str(args.questions)]
    passed += ["--folder", str(args.folder)] if args.folder else []
    with tempfile.TemporaryDirectory() as results:
        jobs = (({"round": 0, "name": args.name, "way": way}, [*passed, "--child", way, results]) for way in args.ways)
        before, known = running.read(path) if path.exists() else (meta, [])
        if known:
            meta["command"] = f"{before['command']}; {meta['command']}"
        samples = running.collect("bench_loading.py", jobs, lambda s: s["step_s"], args, meta, None)
    running.begin(path, meta, known)
    for item in samples:
        running.keep(path, item)
    running.write_page(path.with_suffix(".md"), render(meta, [*known, *samples]), "bench_loading.py")
    print(f"wrote {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
