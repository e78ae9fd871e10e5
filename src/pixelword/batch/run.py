"""Runs a job: every input is answered once, or fails with a reason, whatever was interrupted before."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from pixelword.batch.answering import Cancelled, Content
from pixelword.batch.journal import Failures, Journal
from pixelword.batch.rows import Row
from pixelword.errors import PixelwordError

_READERS = 2
_PAUSE = 0.5  # seconds before the second try; doubled for every further one


class Answers(Protocol):
    """What answers rows; :class:`Answerer` has the words on each."""

    max_num_seqs: int

    @property
    def alive(self) -> bool: ...

    def read(self, row: Row) -> Content: ...

    def answer(self, row: Row, content: Content) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Progress(Protocol):
    """Called after each input that is done: inputs so far, failures among them."""

    def __call__(self, done: int, failed: int) -> None: ...


@dataclass
class Summary:
    """Numbers of inputs. answered: by the model, in this run; copied: the same content as another; known: before."""

    answered: int = 0
    copied: int = 0
    known: int = 0
    failed: int = 0

    @property
    def rows(self) -> int:
        return self.answered + self.copied + self.known + self.failed


class Job:
    """One run over the rows.

    At most twice as many rows as the engine runs at once are under way, with those that wait for an equal row, so
    memory does not grow with the job but for three numbers for each row. A failure that may pass (a file system or a
    network that does not respond) is tried `retries` more times.

    Attributes:
        summary: What was done so far.
        offsets: For each row its line in the journal, -1 where it failed.
    """

    def __init__(
        self,
        answerer: Answers,
        journal: Journal,
        failures: Failures,
        *,
        retries: int = 2,
        progress: Progress = lambda done, failed: None,
    ) -> None:
        self.answerer, self.journal, self.failures = answerer, journal, failures
        self.retries, self.progress = retries, progress
        self.summary, self.offsets = Summary(), array("q")
        self._waiting: dict[str, list[Row]] = {}  # rows by key, the first of which is being answered
        self._same = 0  # rows in `_waiting` but the first of each key
        self._pending: dict[Future[Any], Callable[[Future[Any]], None]] = {}
        self._window = 2 * answerer.max_num_seqs

    def run(self, rows: Iterable[Row]) -> Summary:
        """Answer all rows. Whatever ends it early leaves the journal whole; running again goes on."""
        ahead = iter(rows)
        readers = ThreadPoolExecutor(_READERS, thread_name_prefix="pixelword-read")
        askers = ThreadPoolExecutor(self.answerer.max_num_seqs + 1, thread_name_prefix="pixelword-row")
        try:
            while self._fill(ahead, readers, askers) or self._pending:
                done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
                for future in done:
                    self._pending.pop(future)(future)
        finally:
            self.journal.sync()
            if self._pending:
                self.answerer.close()  # else threads would wait for answers that nobody takes
            for pool in (readers, askers):
                pool.shutdown(cancel_futures=True)
        return self.summary

    def _fill(self, ahead: Iterator[Row], readers: ThreadPoolExecutor, askers: ThreadPoolExecutor) -> bool:
        """Take rows until the window is full; whether one was taken."""
        taken = False
        while len(self._pending) + self._same < self._window and (row := next(ahead, None)) is not None:
            taken = True
            self.offsets.append(-1)
            if row.fault:
                self._fail([row], row.fault, 1)
                continue
            self._submit(readers, self._read, row, lambda done, row=row: self._on_read(done, row, askers))
        return taken

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[..., Any], *rest: Any) -> None:
        *arguments, then = rest
        self._pending[pool.submit(work, *arguments)] = then

    def _read(self, row: Row) -> tuple[Content | None, str, int]:
        """Return the content, or why there is none; and the tries."""
        for tries in range(1, self.retries + 2):
            try:
                return self.answerer.read(row), "", tries
            except (PixelwordError, OSError) as error:
                if tries > self.retries or not may_pass(error):
                    return None, str(error), tries
                time.sleep(_PAUSE * 2 ** (tries - 1))
        raise AssertionError("unreachable")

    def _on_read(self, done: Future[Any], row: Row, askers: ThreadPoolExecutor) -> None:
        content, error, tries = done.result()
        if content is None:
            self._fail([row], error, tries)
            return
        key = content.key
        if (offset := self.journal.line(row, key)) is not None:
            self.summary.known += 1
            self._finish(row, offset)
        elif (answer := self.journal.answer(key)) is not None:
            self.summary.copied += 1
            self._finish(row, self.journal.write(row, key, answer))
        elif key in self._waiting:
            self._waiting[key].append(row)
            self._same += 1
        else:
            self._waiting[key] = [row]
            self._submit(askers, self._ask, row, content, lambda done: self._on_answer(done, key))

    def _ask(self, row: Row, content: Content) -> tuple[dict[str, Any] | None, str, int]:
        """Return the answer, or why there is none; and the tries. Raises what the engine ended with."""
        for tries in range(1, self.retries + 2):
            try:
                return self.answerer.answer(row, content), "", tries
            except PixelwordError as error:
                if not self.answerer.alive:
                    raise
                return None, str(error), tries
            except Cancelled:
                raise
            except Exception as error:  # memory that ran out, a device that failed
                if not self.answerer.alive:
                    raise
                if tries > self.retries:
                    return None, f"{type(error).__name__}: {error}", tries
                time.sleep(_PAUSE * 2 ** (tries - 1))
        raise AssertionError("unreachable")

    def _on_answer(self, done: Future[Any], key: str) -> None:
        (answer, error, tries), rows = done.result(), self._waiting.pop(key)
        self._same -= len(rows) - 1
        if answer is None:
            self._fail(rows, error, tries)
            return
        for number, row in enumerate(rows):
            self.summary.answered += number == 0
            self.summary.copied += number > 0
            self._finish(row, self.journal.write(row, key, answer))

    def _fail(self, rows: list[Row], error: str, tries: int) -> None:
        for row in rows:
            self.failures.write(row, error, tries)
            self.summary.failed += 1
            self.progress(self.summary.rows, self.summary.failed)

    def _finish(self, row: Row, offset: int) -> None:
        self.offsets[row.number] = offset
        self.progress(self.summary.rows, self.summary.failed)


def may_pass(error: BaseException) -> bool:
    """Whether an error of reading may be gone soon: the system's or a network's, not of a missing or forbidden file."""
    cause = error if isinstance(error, OSError) else error.__cause__
    lasting = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    return isinstance(cause, OSError) and not isinstance(cause, lasting)
