"""A thread with a large stack, for a library that recurses as deeply as what it reads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

#: Bytes of the stack; only what is used takes memory. llguidance needs less than a quarter of it for the longest form
#: that is compiled (`grammar.MOST_CHARACTERS`).
_STACK = 512 << 20
_STARTING = threading.Lock()


def deep_executor(name: str) -> ThreadPoolExecutor:
    """An executor of one thread, which has a large stack. name: of the thread."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    with _STARTING:
        before = threading.stack_size(_STACK)  # of threads that start from now on
        try:
            executor.submit(int).result()  # the thread starts with its first work
        finally:
            threading.stack_size(before)
    return executor
