"""Answer a file of questions about pictures and videos with many replicas, on one machine or on a Ray cluster.

    python examples/batch/answer_rows.py examples/batch/rows.jsonl --replicas 2
    python examples/batch/answer_rows.py rows.jsonl --server http://10.0.0.5:8000 --server http://10.0.0.6:8000

Without --server every replica has the network itself. Stopped in any way, it goes on where it was when run again.
On a cluster (RAY_ADDRESS=…, or `ray job submit`) rows, pictures and answers must lie where all machines see them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from pixelword.errors import PixelwordError
from pixelword.integrations.ray.askers import Asking
from pixelword.integrations.ray.batch import answer, folder_of
from pixelword.integrations.ray.job import Job


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help='lines of {"image": "a.png", "question": "…", "id": …}')
    parser.add_argument("--out", type=Path, help="folder of the answers; by default ROWS-answers beside the rows")
    parser.add_argument("--model", default="nano", help="a packaged model, a checkpoint's folder, or the servers' name")
    parser.add_argument("--question", help="for rows that have none")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--server", action="append", default=[], help="a server to ask (repeatable); ours or vLLM's")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=1.0, help="of a replica")
    parser.add_argument("--gpus", type=float, default=0.0, help="of a replica")
    parser.add_argument("--at-once", type=int, default=16, help="rows under way in a replica")
    parser.add_argument("--part-rows", type=int, default=256, help="rows that are kept together")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds that all servers may be away")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = arguments(argv)
    out = args.out or folder_of(args.rows)
    options = {"model": args.model, "max_tokens": args.max_tokens}
    job = Job(args.rows, out, question=args.question, part_rows=args.part_rows, **options)
    key = os.environ.get("PIXELWORD_API_KEY")
    how = Asking(**options, servers=tuple(args.server), at_once=args.at_once, key=key or None, patience=args.patience)
    columns = ("rows", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "left:", TimeRemainingColumn())
    with Progress(*columns) as shown:
        bar = shown.add_task("rows", total=None)
        done = answer(
            job,
            how,
            replicas=args.replicas,
            cpus=args.cpus,
            gpus=args.gpus,
            progress=lambda rows, of: shown.update(bar, completed=rows, total=of),
        )
    print(f"{done.rows:,} rows answered, {done.errors:,} of them with an error, in {out}")


if __name__ == "__main__":
    try:
        main()
    except PixelwordError as error:
        sys.exit(f"error: {error}")
