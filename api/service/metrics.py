"""Figures of the service in Prometheus' text format, written by hand: three kinds of lines are all it takes.

For one thread. Labels come from tables (routes, methods, statuses), never from what a client sends.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"})
_NONE: Mapping[str, int] = MappingProxyType({})
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_HELP = {
    "swindex_requests_total": ("counter", "Requests answered."),
    "swindex_request_seconds": ("histogram", "Time from a request to the end of its answer."),
    "swindex_response_bytes_total": ("counter", "Bytes of bodies sent."),
    "swindex_requests_in_flight": ("gauge", "Requests being answered now."),
    "swindex_cache_hits_total": ("counter", "Requests answered from what was rendered before."),
    "swindex_index_seq": ("gauge", "Number of the last change of the index that is served."),
    "swindex_index_models": ("gauge", "Models in it."),
    "swindex_index_newest_timestamp_seconds": ("gauge", "Time of its last change."),
    "swindex_index_checked_timestamp_seconds": ("gauge", "When it was last looked whether there is a newer one."),
    "swindex_index_replaced_total": ("counter", "Times that a newer index took its place."),
    "swindex_index_refused_total": ("counter", "Times that a newer one could not be taken."),
    "swindex_index_degraded": ("gauge", "1 while a newer one cannot be taken."),
    "swindex_start_timestamp_seconds": ("gauge", "When the service was started."),
    "swindex_submissions": ("gauge", "Submissions by the state they are in."),
    "swindex_submissions_unreadable": ("gauge", "1 while the submissions cannot be read."),
}


class Metrics:
    """What was counted since the start."""

    def __init__(self) -> None:
        self.started = time.time()
        self.in_flight = self.bytes = self.hits = 0
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def note(self, route: str, method: str, status: int, seconds: float, size: int) -> None:
        """Count an answered request."""
        self._requests[(route, method if method in _METHODS else "OTHER", status)] += 1
        self.bytes += size
        self._seconds[route] += seconds  # type: ignore[assignment]
        buckets = self._buckets.setdefault(route, [0] * (len(_BOUNDS) + 1))
        buckets[next((n for n, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))] += 1

    def text(self, gauges: Mapping[str, float | None], states: Mapping[str, int] = _NONE) -> str:
        """Everything, with these figures of the index by the ends of their names, and of submissions by state."""
        own = {
            "response_bytes_total": self.bytes,
            "requests_in_flight": self.in_flight,
            "cache_hits_total": self.hits,
            "start_timestamp_seconds": self.started,
        }
        simple = {f"swindex_{name}": value for name, value in {**own, **gauges}.items() if value is not None}
        plain = (_simple(n, v) for n, v in simple.items())
        return "\n".join([*self._counted(), *self._timed(), *plain, *_by_state(states), ""])

    def _counted(self) -> Iterator[str]:
        yield _head("swindex_requests_total")
        for (route, method, status), count in sorted(self._requests.items()):
            labels = f'route="{route}",method="{method}",status="{status}"'
            yield f"swindex_requests_total{{{labels}}} {count}"

    def _timed(self) -> Iterator[str]:
        name = "swindex_request_seconds"
        yield _head(name)
        for route, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
                total += count
                yield f'{name}_bucket{{route="{route}",le="{bound}"}} {total}'
            yield f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}'
            yield f'{name}_count{{route="{route}"}} {total}'


def _by_state(states: Mapping[str, int]) -> Iterator[str]:
    if states:
        yield _head("swindex_submissions")
    for state, count in states.items():
        yield f'swindex_submissions{{state="{state}"}} {count}'


def _simple(name: str, value: float) -> str:
    return f"{_head(name)}\n{name} {value}"


def _head(name: str) -> str:
    kind, words = _HELP[name]
    return f"# HELP {name} {words}\n# TYPE {name} {kind}"
