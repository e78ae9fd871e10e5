"""Samples that could not be read in training, recorded in a file with the reason and skipped afterwards.

A run that resumes leaves out what it left out before, from the same step on, so that its packs are the same even where
a sample failed by chance (a disk that did not answer in time).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pixelword.data.types import Fault
from pixelword.errors import PixelwordError

_LEAST = 1_000  # samples before which the share of bad ones says little


class Quarantine:
    """`out/quarantine.jsonl`, one line per sample, written by the first rank and read by all.

    max_bad: Share of bad samples among those seen by this process, above which `add` raises PixelwordError.
    """

    def __init__(self, path: Path, max_bad: float = 1.0) -> None:
        self.path, self.max_bad = path, max_bad
        self.seen, self.bad = 0, 0
        self._known: dict[str, tuple[int, str]] = {}
        self._read = 0  # bytes of the file
        self.refresh()

    def reason(self, name: str, step: int) -> str | None:
        """Return why sample `name` is skipped in step `step`, or None."""
        since, reason = self._known.get(name, (step + 1, ""))
        return reason if since <= step else None

    def add(self, faults: Iterable[Fault], seen: int, step: int) -> list[Fault]:
        """Count the faults among `seen` samples of a step; record and return the new ones."""
        self.refresh()
        listed = list(faults)
        new = list({fault.name: fault for fault in listed if fault.name not in self._known}.values())
        if new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                os.truncate(self.path, self._read)  # a line that a kill cut short
            with self.path.open("a", encoding="utf-8") as file:
                for fault in new:
                    line = {"name": fault.name, "reason": fault.reason, "step": step}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.seen, self.bad = self.seen + seen, self.bad + len(listed)
        if self.bad > self.max_bad * max(self.seen, _LEAST):
            raise PixelwordError(
                f"{self.bad} of {self.seen} samples could not be read, more than data.max_bad ({self.max_bad:.2%}) "
                f"allows; all are in {self.path}, the last is {listed[-1].name}: {listed[-1].reason}"
            )
        return new

    def refresh(self) -> None:
        """Read the lines written since the last call."""
        if not self.path.exists() or self.path.stat().st_size <= self._read:
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be on its way
        for line in whole.splitlines():
            known = json.loads(line)
            self._known.setdefault(known["name"], (known["step"], known["reason"]))
        self._read += len(whole)
