"""A scheduler whose prefill chunks never end inside an image, whatever prefix is cached.

All tokens of an image attend to each other, so they must be prefilled in one step. vLLM's `--disable-chunked-mm-input`
is both stricter (it keeps whole videos together) and weaker (it may still split an image whose first part is cached).
"""

from __future__ import annotations

from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler


class WholePictures:
    """Mixin for a vLLM scheduler."""

    def _try_schedule_encoder_inputs(
        self, request: Any, num_computed_tokens: int, num_new_tokens: int, *args: Any, **kwargs: Any
    ) -> Any:
        new = without_cut_picture(request.mm_features, num_computed_tokens, num_new_tokens)
        return super()._try_schedule_encoder_inputs(request, num_computed_tokens, new, *args, **kwargs)  # type: ignore[misc]


class WholePictureScheduler(WholePictures, Scheduler):
    pass


class WholePictureAsyncScheduler(WholePictures, AsyncScheduler):
    pass


def scheduler(**kwargs: Any) -> Scheduler:
    """vLLM's `scheduler_cls`; the platform decides late whether scheduling is asynchronous."""
    is_async = kwargs["vllm_config"].scheduler_config.async_scheduling
    return (WholePictureAsyncScheduler if is_async else WholePictureScheduler)(**kwargs)


def without_cut_picture(features: Any, computed: int, new: int) -> int:
    """Return how many of the next `new` tokens fit without ending inside an image or frame; may be 0."""
    end = computed + new
    for feature in features or ():
        position = feature.mm_position
        if not position.offset < end < position.offset + position.length:
            continue
        for first, last in position.extract_embeds_range():
            if first < end <= last:
                return max(0, first - computed)
    return new
