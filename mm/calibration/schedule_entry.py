"""Reads the JSON objects of a schedule; each value is checked, and an error names the invalid one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from types import NoneType
from typing import Any, NewType, get_args

from mm.backtest.metrics.fill_states import StateRates
from mm.calibration.fit_result import Line
from mm.errors import BrokenFile

Measured = NewType("Measured", Line)  # distance and fills per second, which need not decrease with it
NOT_MEASURED = Measured(())
States = NewType("States", dict[int, StateRates])  # by the instant in µs up to which they were measured, ascending
Block = dict[str, Any]


def is_points(value: Any) -> bool:
    """Return whether *value* is a list of pairs of a distance and a rate above 0; it may be empty."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, list | tuple) and len(one) == 2 for one in value):
        return False
    numbers = [type(number) in (int, float) and math.isfinite(number) for point in value for number in point]
    return all(numbers) and all(rate > 0 for _, rate in value)


def is_line(value: Any) -> bool:
    """Return whether *value* is a list of points of a decreasing λ(δ); it may be empty."""
    if not is_points(value):
        return False
    pairs = list(pairwise(value))
    falls = all(near[0] < far[0] and near[1] >= far[1] for near, far in pairs)
    return not value or (bool(pairs) and falls and pairs[-1][1][1] < pairs[-1][0][1])


def is_measured(value: Any) -> bool:
    """Return whether *value* is a list of points of measured rates, nearest first; it may be empty."""
    return is_points(value) and all(near[0] < far[0] for near, far in pairwise(value))


def is_states(value: Any) -> bool:
    """Return whether *value* is an object with instants in µs as keys; `StateRates` checks its values."""
    return isinstance(value, dict) and all(us.isdecimal() for us in value)


# Required JSON value for a field of each type; null as well if the type allows None.
KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number of µs", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: (
        "a finite number",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    ),
    Block: ("an object", lambda value: isinstance(value, dict)),
    Line: ("an empty list, or [distance, fills per second] at two or more distances, falling at the end", is_line),
    Measured: ("an empty list, or [distance, fills per second] of increasing distances, rates above 0", is_measured),
    States: ("an object of states and flow for each instant in µs", is_states),
}


def broken(source: str, what: str) -> BrokenFile:
    """Return the error with the problem *what* in *source*."""
    return BrokenFile(f"{source}: {what}; create it again with `mm schedule`")


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object of a schedule, whose values are checked as they are read; *place* ends with a dot, or is empty.

    All methods raise BrokenFile, with the file, the place and the value.
    """

    raw: Any
    source: str
    place: str = ""

    def value(self, key: str) -> Any:
        """Return the value of *key*."""
        if not isinstance(self.raw, Mapping) or key not in self.raw:
            raise broken(self.source, f"{self.place}{key} is missing")
        return self.raw[key]

    def read(self, key: str, kind: Any, known: tuple[str, ...] = ()) -> Any:
        """Return the value of *key*, of a type such as ``int`` or ``float | None``, and one of *known* if given."""
        value, options = self.value(key), (kind,) if kind in KINDS else get_args(kind)
        wanted, fits = KINDS[options[0]]
        if value is None and NoneType in options:
            return None
        if not fits(value):
            raise self._refused(key, wanted)
        if known and value not in known:
            raise self._refused(key, f"one of {', '.join(known)}")
        if options[0] is States:
            try:
                return {int(us): StateRates.read(rates) for us, rates in value.items()}
            except ValueError as error:
                raise self._refused(key, wanted) from error
        return tuple(map(tuple, value)) if kind in (Line, Measured) else value

    def fields_of(self, record: Any, choices: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
        """Return the fields of the dataclass *record* by name; those with a default may be missing."""
        return {
            field.name: self.read(field.name, field.type, choices.get(field.name, ()))
            for field in fields(record)
            if field.name != "segments" and (field.default is MISSING or field.name in self.raw)
        }

    def entries(self, key: str) -> "list[Entry]":
        """Return the objects of a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self._refused(key, "a list")
        return [Entry(item, self.source, f"{self.place}{key}[{number}].") for number, item in enumerate(value)]

    def _refused(self, key: str, wanted: str) -> BrokenFile:
        return broken(self.source, f"{self.place}{key} is {repr(self.value(key))[:40]}, not {wanted}")
