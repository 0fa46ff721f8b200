"""What is measured while serving, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

STAGES = ("read", "decode", "encode", "search", "rank")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The measurements of one app; ``waiting`` says how many searches wait at the moment."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._stages = Histogram(
            "findalike_stage_seconds",
            "Time of one stage of a search: reading the request, decoding the photo, encoding, "
            "searching, ranking.",
            ["stage"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._requests = Histogram(
            "findalike_request_seconds",
            "Time of a request, by what was asked and the status of the answer.",
            ["operation", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._verdicts = Counter(
            "findalike_searches", "Searches by verdict.", ["verdict"], registry=self._registry
        )
        self._rejected = Counter(
            "findalike_rejected",
            "Requests that were refused: for too many at once, too many of one client, or a file "
            "that is no picture.",
            ["reason"],
            registry=self._registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        for verdict in ("exact", "similar", "not stocked"):
            self._verdicts.labels(verdict)
        queue = Gauge(
            "findalike_queue_length", "Searches that wait for a thread.", registry=self._registry
        )
        queue.set_function(waiting)

    def searched(self, verdict: str, milliseconds: Mapping[str, float]) -> None:
        """Count a search and the time of encoding, searching and ranking."""
        self._verdicts.labels(verdict).inc()
        self.took({name: milliseconds[name] for name in STAGES[2:]})

    def took(self, milliseconds: Mapping[str, float]) -> None:
        """Count the time of stages; others than STAGES are left out."""
        for stage in STAGES:
            if stage in milliseconds:
                self._stages.labels(stage).observe(milliseconds[stage] / 1000)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(operation, str(status)).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a refusal: "full", "limit" or "picture"."""
        self._rejected.labels(reason).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
