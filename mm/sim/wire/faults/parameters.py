"""The parameters of faults: what each may be, and what a script may say of it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mm.clock import US_PER_S
from mm.errors import UsageError

UPDATE_KINDS, TRADE_KINDS = frozenset({"depth", "bookTicker", "partial"}), frozenset({"trade", "aggTrade"})
KINDS: Mapping[str, frozenset[str]] = {
    "depth": frozenset({"depth"}),
    "trade": TRADE_KINDS,
    "any": UPDATE_KINDS | TRADE_KINDS | {"other"},
}
"""What ``of=`` stands for: kinds of messages."""


class BadScript(UsageError):
    """A script of faults says something that cannot be done."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong; its fields are its parameters.

    Raises:
        BadScript: If a parameter has a value that it cannot have.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            value, allowed = getattr(self, one.name), one.metadata.get("choices")
            if allowed and value not in allowed:
                raise BadScript(f"{one.name}={value}: it must be {', '.join(allowed)}")
            if isinstance(value, int | float) and not one.metadata.get("least", 0) <= value < math.inf:
                raise BadScript(f"{one.name}={value}: it must be a number from {one.metadata.get('least', 0)} on")


def least(default: Any, bound: float) -> Any:
    """Return a parameter's *default* for a number that is never under *bound*; without it, never under 0."""
    return field(default=default, metadata={"least": bound})


def choice(default: str, choices: Iterable[str]) -> Any:
    """Return a parameter's *default* for a text that is one of *choices*."""
    return field(default=default, metadata={"choices": tuple(choices)})


def micros(seconds: float | None) -> int | None:
    """Return *seconds* in whole µs; None stays None."""
    return None if seconds is None else round(seconds * US_PER_S)
