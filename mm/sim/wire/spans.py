"""Stretches of time, as requests name them."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from mm.clock import US_PER_S
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.parameters import Parameters

Entry = TypeVar("Entry")
_DAY_US = 86_400 * US_PER_S


class Span(NamedTuple):
    """From and to an instant, both included, µs; None where an end is open."""

    start_us: int | None
    end_us: int | None


def read_span(asked: Parameters) -> Span:
    """Return the span of ``startTime`` and ``endTime``, each in ms or in µs."""
    return Span(asked.instant_us("startTime"), asked.instant_us("endTime", last=True))


def read_day_span(asked: Parameters) -> Span:
    """Return the span of a request that may ask for 24 hours at most; raises ApiError where it asks for more."""
    span = read_span(asked)
    if span.start_us is not None and span.end_us is not None and span.end_us - span.start_us > _DAY_US + 999:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return span


def within(entries: Sequence[Entry], span: Span, limit: int, instant: Callable[[Entry], int]) -> list[Entry]:
    """Return up to *limit* of *entries*, which stand in the order of their *instant*, oldest first.

    With a start they are the first ones from there on, without one the last ones.
    """
    start = 0 if span.start_us is None else bisect_left(entries, span.start_us, key=instant)
    end = len(entries) if span.end_us is None else bisect_right(entries, span.end_us, key=instant)
    chosen = entries[start:end]
    return list(chosen[-limit:] if span.start_us is None else chosen[:limit])
