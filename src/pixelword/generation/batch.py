"""Many prompts through one engine: prepared as they are needed, answered in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pixelword.generation.request import Request

if TYPE_CHECKING:
    from pixelword.generation.engine import Engine
    from pixelword.generation.sampling import Sampling
    from pixelword.processing.types import Encoded


def generate_many(engine: Engine, prompts: Iterable[tuple[Encoded, Sampling]]) -> Iterator[Request]:
    """Each prompt's request when it has ended, in order.

    The next prompts are taken (and their images read) while the engine works, twice as many as run at once, so that
    it never waits and no more images are held in memory. Raises InputError: a prompt does not fit into the context.
    """
    ahead = 2 * engine.options.max_num_seqs
    held: deque[Request] = deque()
    try:
        for prompt, sampling in prompts:
            held.append(engine.submit(prompt, sampling))
            if len(held) > ahead:
                yield _ended(held.popleft())
        while held:
            yield _ended(held.popleft())
    finally:
        for request in held:  # the caller went away
            request.cancel()


def _ended(request: Request) -> Request:
    request.result()
    return request
