"""What goes wrong beside the soak's clients: workers of the server are killed, and so is a `pixelword batch`."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from served import children, held
from soak_clients import LOST, Outcome
from soak_requests import DESCRIBE, drawn

#: Of this number of images of the batch, one is damaged.
DAMAGED = 6
#: Share of a ready worker's memory that another has once it has started.
READY = 0.9


class Killer(threading.Thread):
    """Kills a worker of the server every so many seconds, if all of them have started, until `stop` is set.

    kills: how many so far.
    """

    def __init__(self, pid: int, seconds: float, stop: threading.Event) -> None:
        super().__init__(name="soak-killer", daemon=True)
        self.kills = 0
        self._pid, self._seconds, self._stop_, self._random = pid, seconds, stop, random.Random(0)
        self._least = READY * min(held(worker)[0] for worker in self._workers())

    def run(self) -> None:
        while not self._stop_.wait(self._seconds):
            workers = self._workers()
            if workers and all(held(worker)[0] >= self._least for worker in workers):
                os.kill(self._random.choice(workers), signal.SIGKILL)
                self.kills += 1

    def _workers(self) -> list[int]:
        return [child for child in children(self._pid) if _is_worker(child)]


def _is_worker(pid: int) -> bool:
    """Whether a process decodes images for the server, and is not, say, the tracker of its resources."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False


class Batch(threading.Thread):
    """Runs `pixelword batch` over the same images again and again until `stop` is set, killed at some moments.

    outcomes: of each run from its beginning to its end, kills and all.
    """

    def __init__(self, folder: Path, model: str, images: int, stop: threading.Event) -> None:
        super().__init__(name="soak-batch", daemon=True)
        self.outcomes: list[Outcome] = []
        self._folder, self._model, self._stop_ = folder, model, stop
        self._random = random.Random(0)
        self._damaged = _draw(folder / "images", images)
        self._expected = self._alone()

    def run(self) -> None:
        begin = time.monotonic()
        while not self._stop_.is_set():
            at = time.monotonic()
            out = self._folder / f"{len(self.outcomes)}" / "answers.jsonl"
            out.parent.mkdir()
            kills = 0
            try:
                while not self._ran(out, self._random.uniform(1, 20) if kills < 3 else LOST):
                    kills += 1
                fault = self._fault(out)
            except (OSError, ValueError, KeyError) as error:
                fault = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - at
            self.outcomes.append(Outcome("batch", f"killed {kills} times", at - begin, seconds, fault=fault))

    def _alone(self) -> dict[str, str]:
        """The answer for each good image, with nothing else there. Raises SystemExit."""
        out = self._folder / "alone" / "answers.jsonl"
        out.parent.mkdir()
        if not self._ran(out, LOST):
            raise SystemExit(f"the batch did not end within {LOST:g} s")
        return {line["image"]: line["answer"] for line in _lines(out)}

    def _ran(self, out: Path, seconds: float) -> bool:
        """Whether the command ends within so many seconds; else it is killed. Raises ValueError: it ends wrongly."""
        command = [sys.executable, "-m", "pixelword", "batch", str(self._folder / "images"), DESCRIBE]
        command += ["--out", str(out), "--failed", str(out.with_name("failed.jsonl"))]
        command += ["--model", self._model, "--max-new-tokens", "24"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        log = out.with_suffix(".log")
        with log.open("a") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.wait()
        if status != 1:  # some images are damaged
            raise ValueError(f"the batch ended with {status}: {log.read_text()[-200:]}")
        return True

    def _fault(self, out: Path) -> str | None:
        """What is lost, twice there, or another's, among the lines of answers and of failures."""
        answers, failures = _lines(out), _lines(out.with_name("failed.jsonl"))
        if Counter(line["image"] for line in answers) != Counter([*self._expected]):
            return f"{len(answers)} answers of a batch, not one for each of {len(self._expected)} images"
        if Counter(line["image"] for line in failures) != Counter(self._damaged):
            return f"{len(failures)} failures of a batch, not one for each of {len(self._damaged)} images"
        for line in answers:
            if line["answer"] != (alone := self._expected[line["image"]]):
                return f"answered {line['answer'][:120]!r}, but alone {alone[:120]!r}"
        return None


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _draw(folder: Path, count: int) -> list[str]:
    """Write images, damaged ones between good ones; return the paths of those."""
    folder.mkdir(parents=True)
    rng, damaged = random.Random(0), []
    for number in range(count):
        kind, data = drawn(rng).removeprefix("data:image/").split(";base64,")
        content = base64.b64decode(data)
        path = folder / f"{number:04}.{kind}"
        if number % DAMAGED == DAMAGED // 2:
            content = content[: len(content) // 3]
            damaged.append(str(path))
        path.write_bytes(content)
    return damaged
