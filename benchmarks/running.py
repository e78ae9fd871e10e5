"""What every benchmark does: name the machine, run samples in processes of their own, keep them, make the page.

Samples are lines of JSON in `<results>/<what>-<hardware>-<date>.jsonl`; the first line says how they were made.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
#: Marks the one line of a child's output that is its sample.
MARK = "SAMPLE "
END = "<!-- generated: end -->"
READING = """

## Reading

(to be written by a person: what this shows, good and bad; this section is kept when the page is made again)
"""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_options(parser: argparse.ArgumentParser, *, gpu: bool = False) -> None:
    """The options that every benchmark has."""
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the samples and the page")
    source = "the GPU" if gpu else "the processor"
    parser.add_argument("--hardware", help=f"name in the file's name; by default from {source}")
    where = ", on a CPU" if gpu else ""
    parser.add_argument(
        "--quick", action="store_true", help=f"miniatures{where}; write nothing unless --output is given"
    )
    parser.add_argument("--render", type=Path, metavar="JSONL", help="measure nothing; make the page of these samples")


def cpu_dtype() -> str:
    """The type that benchmarks on this CPU compute in: bfloat16 where it has instructions for it, else float32."""
    from pixelword import machine

    return str(machine.training_dtype(machine.CPU)).removeprefix("torch.")


def describe(hardware: str | None = None) -> dict[str, Any]:
    """Machine, versions, date and command of this run; `hardware` names it in the file's name."""
    from pixelword import machine

    cpu = machine.cpu_name()
    return {
        "hardware": hardware or re.sub(r"[^a-z0-9]+", "-", f"{cpu} {os.cpu_count()} cores".lower()).strip("-"),
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(machine.memory() / 1e9),
        "cpu_dtype": cpu_dtype(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "pixelword")},
    }


def heading(what: str, meta: dict[str, Any]) -> list[str]:
    """First lines of a page: what, where, when, by which command."""
    return [
        f"# {what} on {meta.get('gpu') or meta['cpu']} ({meta['cores']} cores), {meta['date']}",
        "",
        f"`{meta['command']}`",
        "",
        f"{meta['cpu']}, {meta['cores']} cores, {meta['memory_gb']} GB; {meta['threads']} threads; "
        f"Python {meta['python']}, torch {meta['torch']}, transformers {meta['transformers']}, "
        f"Pixelword {meta['pixelword']}.",
        "",
    ]


def in_child(script: str, options: list[str], threads: int, timeout: float) -> dict[str, Any]:
    """One sample in a fresh process of `script`, which calls `answer`; `{"failed": why}` where it did not end well."""
    command = [sys.executable, str(HERE / script), *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {timeout:g} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :])
    if done.returncode < 0:
        return {"failed": f"ended by signal {-done.returncode} (9: out of memory, most likely)"}
    print(done.stderr, file=sys.stderr)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"failed": last.replace("|", "/")[:200]}


def turned(names: Sequence[str], turn: int) -> list[str]:
    """The names in order, from another one on each turn, so that none is always measured first."""
    begin = turn % len(names)
    return [*names[begin:], *names[:begin]]


def collect(
    script: str,
    jobs: Iterable[tuple[dict[str, Any], Sequence[str]]],
    told: Callable[[dict[str, Any]], object],
    args: argparse.Namespace,
    meta: dict[str, Any],
    path: Path | None,
) -> list[dict[str, Any]]:
    """Run a child for each job, one after another; every sample is said and kept as soon as it is there.

    jobs: (what the sample is of, its round first; the child's options). told: what is said of a sample.
    """
    samples: list[dict[str, Any]] = []
    begin(path, meta, samples)
    for about, options in jobs:
        sample = about | in_child(script, list(options), args.threads, args.timeout)
        turn, *names = about.values()
        print(f"round {turn + 1}, {', '.join(names)}: {sample.get('failed') or told(sample)}", flush=True)
        samples.append(sample)
        keep(path, sample)
    return samples


def answer(sample: dict[str, Any]) -> None:
    """Hand a child's sample to `in_child`."""
    print(MARK + json.dumps(sample))


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    if not lines or "command" not in lines[0]:
        raise SystemExit(f"{path} is not a samples' file: its first line does not describe a run")
    return lines[0], lines[1:]


def begin(path: Path | None, meta: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    """Start the samples' file anew; nothing where there is no path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in (meta, *samples)))


def keep(path: Path | None, sample: dict[str, Any]) -> None:
    """Add a sample to the file as soon as it is known; nothing where there is no path."""
    if path:
        with path.open("a") as out:
            out.write(json.dumps(sample) + "\n")


def write_page(path: Path, generated: str, script: str) -> None:
    """Put the generated part into the page at `path`, and leave everything after it as it was."""
    kept = READING
    if path.exists():
        text = path.read_text()
        if END not in text:
            raise SystemExit(f"{path} has no line '{END}', so it is not known what may be replaced; move it away first")
        kept = text.split(END, 1)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<!-- generated by benchmarks/{script}: begin -->\n{generated}\n{END}{kept}")
