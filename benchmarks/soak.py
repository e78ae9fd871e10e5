"""Many clients on one server for a while: is anything lost, does memory grow, are answers those given alone?

    python benchmarks/soak.py                    # 16 clients, 10 minutes
    python benchmarks/soak.py --seconds 60
    python benchmarks/soak.py --quick            # 10 seconds, 6 clients, nothing is written

It starts `pixelword serve`, asks each of its questions alone, then has clients ask them all at once, on every route
that answers: whole or streamed, slow to send or to read, cut short in every phase, and wrong in every way that has a
name. Meanwhile workers of the server are killed, and a `pixelword batch` runs beside it, killed and started again.
Memory, threads and open files of the server and its workers are read from outside. Ends with 1 when something was lost,
grew, differed, or had not the form that it had to have.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import running
from served import Served, served
from soak_clients import LOST, MANNERS, Client, Outcome, alone, decided, run
from soak_faults import Batch, Killer
from soak_requests import asks, bad

#: Less than the questions need, so that the prefix cache is full and gives away what is old while it is watched.
PREFIX_MB = 8
#: The same of stored responses.
STORE_MB = 8
#: Share of the time in which pools of threads grow to their size.
FILLED = 1 / 3
#: Share of the time that counts as warming up, and megabytes that the rest may grow by.
WARM, MOST_GROWTH_MB = 0.3, 32.0
#: The least between two kills of a worker.
MIN_KILL_SECONDS = 5.0
MOST_KEPT = 100  # faults in the samples' file


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of load; 600, or 10 with --quick")
    parser.add_argument("--clients", type=int, help="16, or 6 with --quick")
    parser.add_argument("--questions", type=int, help="different ones; 60, or 15 with --quick")
    parser.add_argument("--images", type=int, help="of the batch; 60, or 6 with --quick")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=running.cores(), help="of the server; by default all cores")
    running.add_options(parser)
    args = parser.parse_args(argv)
    for name, full, quick in (("seconds", 600, 10), ("clients", 16, 6), ("questions", 60, 15), ("images", 60, 6)):
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
        if getattr(args, name) <= 0:
            parser.error(f"--{name} must be above 0")
    return args


def soak(server: Served, args: argparse.Namespace, folder: Path) -> tuple[list[Outcome], list[dict[str, Any]], int]:
    """What became of every request, what the server held each second and, last, when all had gone, and how many
    workers were killed."""
    asked = decided(server.address, [*zip(*(asks(seed, args.questions) for seed in range(3)), strict=True)])
    known = list(zip(asked, alone(server.address, asked), strict=True))
    held: list[dict[str, Any]] = []
    ends = threading.Event()

    def make(number: int, begin: float, stop: Any) -> Client:
        return Client(number, server.address, known, bad(), begin, stop)

    def watch() -> None:
        held.append({"at": time.monotonic() - begin, **asdict(server.measure())})

    killer = Killer(server.pid, max(MIN_KILL_SECONDS, args.seconds / 30), ends)
    batch = Batch(folder, args.model, args.images, ends)
    begin = time.monotonic()
    killer.start()
    batch.start()
    every = run(make, args.clients, args.seconds, watch)
    ends.set()
    for item in (killer, batch):
        item.join(4 * LOST)
    unended = [item.name for item in (*every, batch) if item.is_alive()]
    outcomes = [outcome for item in (*every, batch) for outcome in list(item.outcomes)]
    lost = [Outcome("lost", name, args.seconds, 0.0, fault="it did not end") for name in unended]
    httpx.get(f"{server.address}/health").raise_for_status()
    held.append({"at": time.monotonic() - begin, **asdict(server.measure())} | _idle(server.address))
    return outcomes + lost, held, killer.kills


def _idle(address: str) -> dict[str, int]:
    """Requests that have a place or wait for one, when nobody asks any more."""
    end = time.monotonic() + 20
    while True:
        lines = httpx.get(f"{address}/metrics").text.splitlines()
        named = {line.split("{")[0]: int(float(line.split()[-1])) for line in lines if line.startswith("vllm:num_")}
        left = {"running": named["vllm:num_requests_running"], "waiting": named["vllm:num_requests_waiting"]}
        if not any(left.values()) or time.monotonic() > end:
            return left
        time.sleep(0.1)


def verdicts(outcomes: list[Outcome], held: list[dict[str, Any]], kills: int = 0) -> dict[str, str | None]:
    """Promise: what broke it, or None."""
    faults = [outcome for outcome in outcomes if outcome.fault]
    differ = [fault for fault in faults if (fault.fault or "").startswith("answered")]
    lost = [fault for fault in faults if fault not in differ]
    grown = growth(held)
    left = held[-1]
    again = sum(outcome.again for outcome in outcomes)
    return {
        "nothing is lost": lost and f"{len(lost)} of {len(outcomes)}: {lost[0].manner}, {lost[0].fault}",
        "answers are those given alone": differ and f"{len(differ)}: {differ[0].kind}, {differ[0].fault}",
        "a killed worker costs its own request": f"{kills} killed, {again} asked again" if again > kills else None,
        "memory does not grow": f"by {grown:.0f} MB" if grown > MOST_GROWTH_MB else None,
        "every place is free again": f"{left['running']} run, {left['waiting']} wait"
        if left["running"] or left["waiting"]
        else None,
    } | {f"no {what} are left behind": _left_behind(held, what) for what in ("threads", "files")}


def _warm(held: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was held after warming up, while clients asked."""
    return [item for item in held[:-1] if item["at"] >= WARM * held[-2]["at"]]


def growth(held: list[dict[str, Any]]) -> float:
    """Megabytes between the median of the first third and that of the last, after warming up.

    Of the server's own process or of all, whichever is more: workers that were killed hold nothing for a while.
    """
    found = []
    for parts in (("bytes",), ("bytes", "worker_bytes")):
        values = [sum(item[part] for part in parts) / 1e6 for item in _warm(held)]
        third = max(len(values) // 3, 1)
        found.append(median(values[-third:]) - median(values[:third]))
    return max(found)


def _left_behind(held: list[dict[str, Any]], what: str) -> str | None:
    """More of them when all had gone than at any moment with everybody there is a leak for certain."""
    busy = held[:-1]
    most = max(moment[what] for moment in busy[: max(round(len(busy) * FILLED), 1)])
    return f"{held[-1][what]}, and at most {most} at first" if held[-1][what] > most else None


def render(meta: dict[str, Any], outcomes: list[dict[str, Any]], held: list[dict[str, Any]]) -> str:
    """The page's generated part. outcomes: a line per manner."""
    lines = running.heading("Soak of the server", meta)
    shape = f"`pixelword serve {meta['model']}`, {meta['questions']} questions, a prefix cache of {PREFIX_MB} MB"
    sent, tokens = (sum(outcome[what] for outcome in outcomes) for what in ("count", "tokens"))
    lines += [
        f"{meta['clients']} clients for {meta['seconds']:g} s on {shape}. "
        f"{sent:,} requests, {tokens:,} tokens answered.",
        *_beside(meta),
        "",
        "| promise | |",
        "|---|---|",
        *(
            f"| {promise} | {'kept' if not broken else f'**broken**: {broken}'} |"
            for promise, broken in meta["promises"]
        ),
        "",
        "| manner | requests | faults | median | 95 % within | first words, median |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for outcome in outcomes:
        first = f"{outcome['first_s']:.2f} s" if outcome["first_s"] is not None else ""
        lines.append(
            f"| {outcome['manner']} | {outcome['count']:,} | {outcome['faults']} | {outcome['median_s']:.2f} s "
            f"| {outcome['most_s']:.2f} s | {first} |"
        )
    lines += ["", "| at | memory | of its workers | threads | open files |", "|---:|---:|---:|---:|---:|"]
    for item in [*held[:: max(len(held) // 10, 1)], held[-1]]:
        memory = f"{item['bytes'] / 1e6:,.0f} MB | {item['worker_bytes'] / 1e6:,.0f} MB"
        lines.append(f"| {item['at']:.0f} s | {memory} | {item['threads']} | {item['files']} |")
    grown = f"Growth after the first {WARM:.0%} of the time: {growth(held):+.1f} MB (may be {MOST_GROWTH_MB:g}); "
    return "\n".join(
        [*lines, "", grown + "medians of the first and the last third of the rest. The last row: nobody asks."]
    )


def _beside(meta: dict[str, Any]) -> list[str]:
    """What went wrong on purpose, of runs in which it did."""
    if "kills" not in meta:
        return []
    return [
        f"{meta['kills']} workers were killed, and {meta['again']} requests asked again for it. Beside the clients, "
        f"`pixelword batch` over {meta['images']} images, killed and started again."
    ]


def summary(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """A line per manner of asking."""
    found = []
    for manner in [name for name in (*MANNERS, "batch", "lost") if any(outcome.manner == name for outcome in outcomes)]:
        those = [outcome for outcome in outcomes if outcome.manner == manner]
        seconds = [item.seconds for item in those]
        first = [item.first for item in those if item.first is not None]
        found.append(
            {
                "manner": manner,
                "count": len(those),
                "kinds": dict(Counter(item.kind for item in those)),
                "faults": sum(item.fault is not None for item in those),
                "tokens": sum(item.tokens for item in those),
                "median_s": median(seconds),
                "most_s": quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0],
                "first_s": median(first) if first else None,
            }
        )
    return found


def page(path: Path) -> None:
    meta, lines = running.read(path)
    parts = {name: [line for line in lines if line["part"] == name] for name in ("manner", "held")}
    running.write_page(path.with_suffix(".md"), render(meta, parts["manner"], parts["held"]), "soak.py")


def main() -> None:
    args = arguments()
    if args.render:
        return page(args.render)
    with tempfile.TemporaryDirectory() as folder:
        options = [args.model, "--prefix-cache-mb", str(PREFIX_MB), "--response-store-mb", str(STORE_MB)]
        with served(options, Path(folder) / "log", threads=args.threads) as server:
            outcomes, held, kills = soak(server, args, Path(folder))
            traces = server.log.read_text().count("Traceback")
    broken = verdicts(outcomes, held, kills) | {"no stack traces in the log": f"{traces} of them" if traces else None}
    meta = running.describe(args.hardware) | {
        "threads": args.threads,
        "promises": list(broken.items()),
        "kills": kills,
        "again": sum(outcome.again for outcome in outcomes),
        **{name: getattr(args, name) for name in ("seconds", "clients", "questions", "images", "model")},
    }
    manners = summary(outcomes)
    if not args.quick or args.output != running.RESULTS:
        path = args.output / f"soak-{meta['hardware']}-{meta['date']}.jsonl"
        faults = [asdict(outcome) for outcome in outcomes if outcome.fault][:MOST_KEPT]
        lines = [("manner", manners), ("held", held), ("fault", faults)]
        running.begin(path, meta, [{"part": part, **item} for part, those in lines for item in those])
        page(path)
        print(f"wrote {path.with_suffix('.md')}")
    for promise, why in broken.items():
        print(f"{'BROKEN' if why else 'kept  '}  {promise}{f': {why}' if why else ''}")
    print(f"{len(outcomes):,} requests in {args.seconds:g} s; memory {growth(held):+.1f} MB after warming up")
    if any(broken.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
