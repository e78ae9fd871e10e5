"""Worker processes that decode media and encode prompts, isolated from the server and its secrets.

Untrusted input meets decoders written in C. Each worker has time and memory limits; if it exceeds them or dies, only
its request fails, and it is replaced.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import resource
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from pixelword.errors import InputError, MediaError, PixelwordError
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.types import Encoded, ImageSpan, Origin
from pixelword.serving.settings import Settings

_START_SECONDS = 120.0
#: First byte of what a worker sends.
_PROMPT, _ERROR = b"P", b"E"
_ERRORS = {kind.__name__: kind for kind in (InputError, MediaError)}


class WorkerFailed(MediaError):
    """A worker exceeded its limits or died while decoding a request's media."""


class NotReady(Exception):
    """The workers are still starting, or cannot start; the client may retry."""


class Workers:
    """`settings.workers` processes with the processor of a model's folder. Use as a context, or call `close`."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(settings.workers):
            self._free.put(_Worker(folder, settings))
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="pixelword-prepare")
        self._closed = threading.Event()

    def wait(self) -> None:
        """Wait until every process is ready, so that first requests do not wait. Raises PixelwordError."""
        workers = [self._free.get() for _ in range(self._settings.workers)]
        try:
            for worker in workers:
                worker.start()
        except NotReady as error:
            raise PixelwordError(f"the processes that read images could not start: {error}; see above") from error
        finally:
            for worker in workers:
                self._free.put(worker)

    def encode(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Future[Encoded]:
        """A conversation whose media are bytes -> its prompt. The future raises InputError, MediaError or NotReady."""
        return self._threads.submit(self._encode, list(messages), dict(options))

    def _encode(self, messages: list[Mapping[str, Any]], options: dict[str, Any]) -> Encoded:
        worker = self._free.get()
        try:
            worker.start()
            return worker.encode(messages, options)
        finally:
            if self._closed.is_set():
                worker.stop()
            self._free.put(worker)

    def close(self) -> None:
        """End all workers; running requests fail."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for _ in range(self._settings.workers):
            self._free.get(timeout=_START_SECONDS).stop()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Worker:
    """One process and its pipe; used by one thread at a time."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.process: Any = None
        self.pipe: Connection | None = None
        self._launch()

    def _launch(self) -> None:
        # spawned, not forked: a child must not hold the server's sockets, keys or locks
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, str(self.folder), self.settings.media_bytes), daemon=True
        )
        self.process.start()
        theirs.close()
        self.ready = False

    def start(self) -> None:
        """Wait for the process, restarting it if it has ended. Raises NotReady, which may pass."""
        if not self.process.is_alive():
            self.stop()
            self._launch()
        if not self.ready:
            assert self.pipe is not None
            try:
                if not self.pipe.poll(_START_SECONDS):
                    raise NotReady(f"a worker has not started within {_START_SECONDS:g} s")
                self.pipe.recv_bytes()
            except (EOFError, OSError) as error:
                raise NotReady("a worker died while it started") from error
            self.ready = True

    def encode(self, messages: list[Mapping[str, Any]], options: dict[str, Any]) -> Encoded:
        assert self.pipe is not None
        try:
            self.pipe.send((messages, options, self.settings.limits))
        except OSError as error:
            self.stop()
            raise WorkerFailed("the images of this request could not be read") from error
        answer = self._receive(self.settings.media_seconds, "took too long, or too much memory, to read")
        if answer[:1] == _PROMPT:
            return from_bytes(answer[1:])
        kind, message = json.loads(answer[1:])
        raise _ERRORS.get(kind, MediaError)(message)

    def _receive(self, seconds: float, what: str) -> bytes:
        assert self.pipe is not None
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv_bytes()
        except (EOFError, OSError):
            pass  # it died
        self.stop()
        raise WorkerFailed(f"the images or videos of this request {what}; send smaller ones")

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        if self.pipe is not None:
            self.pipe.close()


def _serve(pipe: Connection, folder: str, more_bytes: int) -> None:
    """Main loop of a worker: load a processor, then serve requests until the pipe closes."""
    os.environ.clear()  # it may hold keys
    torch.set_num_threads(1)
    processor = NeoOVProcessor.from_pretrained(folder)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _LINUX else 0
    if held:
        resource.setrlimit(resource.RLIMIT_AS, (held + more_bytes, held + more_bytes))
    pipe.send_bytes(_PROMPT)
    while True:
        try:
            messages, options, limits = pipe.recv()
        except EOFError:
            return
        pipe.send_bytes(_answer(processor, messages, options | {"limits": limits}))


_LINUX = Path("/proc/self/statm").exists()
_TENSORS = ("input_ids", "labels", "mm_token_type_ids", "pixel_values", "image_grid_hw")


def to_bytes(prompt: Encoded) -> bytes:
    """Serialise a prompt as safetensors, with its image spans as JSON."""
    spans = json.dumps([asdict(image) for image in prompt.images]).encode()
    images = torch.frombuffer(bytearray(spans), dtype=torch.uint8)
    return save({**{name: getattr(prompt, name) for name in _TENSORS}, "images": images})


def from_bytes(data: bytes) -> Encoded:
    """Load the prompt written by `to_bytes`."""
    tensors = load(data)
    spans = json.loads(tensors.pop("images").numpy().tobytes())
    return Encoded(**tensors, images=tuple(map(_span, spans)))


def _span(fields: dict[str, Any]) -> ImageSpan:
    origin = fields["origin"]
    if origin is not None:
        origin = Origin(origin["number"], *(tuple(origin[name]) for name in ("size", "box", "seen")))
    return ImageSpan(**{**fields, "grid_hw": tuple(fields["grid_hw"]), "origin": origin})


def _answer(processor: Any, messages: Any, options: dict[str, Any]) -> bytes:
    """Parse a worker's reply: the prompt, or an error's kind and message; never a pickle, which could run code."""
    try:
        asked = {"add_generation_prompt": True} | options
        encoded = processor.encode(messages, **asked, allow_urls=False, allow_files=False)
    except PixelwordError as error:
        failure = type(error).__name__, str(error)
    except MemoryError:
        failure = "MediaError", "the images or videos of this request need too much memory; send smaller ones"
    except Exception:
        traceback.print_exc()  # for the server's log; the client gets no more than this
        failure = "MediaError", "the images or videos of this request cannot be read"
    else:
        return _PROMPT + to_bytes(encoded)
    return _ERROR + json.dumps(failure).encode()
