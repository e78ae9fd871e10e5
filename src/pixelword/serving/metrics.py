"""Prometheus metrics under vLLM's names, so that its dashboards work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pixelword.generation.request import Request
from pixelword.serving.responses import FINISH

if TYPE_CHECKING:
    from pixelword.generation.engine import Engine

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)


class Metrics:
    """Metrics of one server; `page` is the response of `/metrics`."""

    def __init__(self, engine: Engine, model: str) -> None:
        self.engine = engine
        self.registry = CollectorRegistry()
        self._label = {"model_name": model}

        def made(kind, name: str, help_: str, labels: tuple[str, ...] = (), **more):  # type: ignore[no-untyped-def]
            return kind(f"vllm:{name}", help_, ("model_name", *labels), registry=self.registry, **more)

        self._running = made(Gauge, "num_requests_running", "Requests that have a place.")
        self._waiting = made(Gauge, "num_requests_waiting", "Waiting requests.")
        self._prompt = made(Counter, "prompt_tokens", "Tokens of prompts.")
        self._generated = made(Counter, "generation_tokens", "Tokens of answers.")
        self._ended = made(Counter, "request_success", "Requests that ended.", ("finished_reason",))
        self._asked = made(Gauge, "prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.")
        self._found = made(Gauge, "prefix_cache_hits_total", "Prompt tokens found there.")
        self._first = made(Histogram, "time_to_first_token_seconds", "To the first token.", buckets=_SECONDS)
        self._between = made(Histogram, "inter_token_latency_seconds", "Between tokens.", buckets=_SECONDS)
        self._whole = made(Histogram, "e2e_request_latency_seconds", "Of a whole request.", buckets=_SECONDS)
        self._queued = made(Histogram, "request_queue_time_seconds", "Waiting for a place.", buckets=_SECONDS)

    def count(self, request: Request) -> None:
        """Count a finished request."""
        usage, label = request.usage, self._label
        reason = "error" if request.error else FINISH[request.reason or "stop"]
        self._ended.labels(**label, finished_reason=reason).inc()
        self._prompt.labels(**label).inc(usage.prompt_tokens)
        self._generated.labels(**label).inc(usage.completion_tokens)
        self._whole.labels(**label).observe(usage.total)
        self._queued.labels(**label).observe(usage.queue_time)
        if usage.completion_tokens:
            self._first.labels(**label).observe(usage.first_token)
        if usage.completion_tokens > 1:
            self._between.labels(**label).observe((usage.total - usage.first_token) / (usage.completion_tokens - 1))

    def count_prompts(self, tokens: int) -> None:
        """Count a request that only reads: this many tokens."""
        self._ended.labels(**self._label, finished_reason=FINISH["stop"]).inc()
        self._prompt.labels(**self._label).inc(tokens)

    def page(self) -> bytes:
        """Return all series in Prometheus format."""
        running, waiting = self.engine.load
        for gauge, value in (
            (self._running, running),
            (self._waiting, waiting),
            (self._asked, self.engine.prefix.tokens_asked),
            (self._found, self.engine.prefix.tokens_found),
        ):
            gauge.labels(**self._label).set(value)
        return generate_latest(self.registry)
