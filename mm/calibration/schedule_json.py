"""The JSON of a schedule: values asked for by key and type, and refused by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mm.errors import BrokenFile


def broken(source: str, what: str) -> BrokenFile:
    """Return the error for *what* is wrong in *source*."""
    return BrokenFile(f"{source}: {what}; a schedule comes from `mm schedule`, make it anew")


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object.

    Attributes:
        raw: What was read in its place.
        source: The file, for messages.
        place: Where it stands in the file, ending with a dot; empty for the whole.
    """

    raw: Any
    source: str
    place: str = ""

    def value(self, key: str) -> Any:
        """Return the value of *key*; raises BrokenFile where there is none."""
        if not isinstance(self.raw, Mapping) or key not in self.raw:
            raise broken(self.source, f"{self.place}{key} is missing")
        return self.raw[key]

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.value(key)
        if not isinstance(value, str):
            raise self._refused(key, "a text")
        return value

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """Return one of the *known* texts."""
        value = self.text(key)
        if value not in known:
            raise self._refused(key, f"one of {', '.join(known)}")
        return value

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._refused(key, "a finite number")
        return value

    def number_or_none(self, key: str) -> float | None:
        """Return a finite number, or None for null."""
        return None if self.value(key) is None else self.number(key)

    def instant(self, key: str) -> int:
        """Return a whole number of µs."""
        value = self.number(key)
        if not isinstance(value, int):
            raise self._refused(key, "a whole number of µs")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self._refused(key, "true or false")
        return value

    def entries(self, key: str) -> "list[Entry]":
        """Return the objects of a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self._refused(key, "a list")
        return [Entry(item, self.source, f"{self.place}{key}[{number}].") for number, item in enumerate(value)]

    def _refused(self, key: str, wanted: str) -> BrokenFile:
        return broken(self.source, f"{self.place}{key} is {repr(self.value(key))[:40]}, not {wanted}")
