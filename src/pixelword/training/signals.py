"""SIGINT and SIGTERM handling: stop immediately if nothing would be lost, else after the current step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Raised in the main thread, possibly inside a compiler; not an Exception, so that nothing swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopSignals:
    """A context manager; `asked` is the signal that came, if any. A second one ends the process at once.

    at_once: a signal raises `Stopped` right away. Set it while there is nothing to save: before and in the first step,
        which compiles, and takes minutes on a slow machine.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in STOPS:
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def votes(self) -> list[float]:
        """Return one number per signal, to be summed over ranks."""
        return [float(self.asked == number) for number in STOPS]

    @staticmethod
    def elected(votes: list[float]) -> int | None:
        """Return the signal that any rank received, from the summed votes."""
        return next((int(number) for number, vote in zip(STOPS, votes, strict=True) if vote), None)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        self._restore()
        if self.at_once:
            raise Stopped(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
