"""How a number of a summary is declared: a field with its unit, its meaning, and why it can be undefined."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A number within an object of the summary: its unit, if not that of the object, and why it can be null.

    One that ends with ``_s`` is in seconds.
    """

    unit: str = ""
    null: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """What page, terminal, tear sheet and documentation know of a field of `Summary`.

    Attributes:
        meaning: Markdown; empty if the name says it.
        null: Why it can be None.
        group: Its heading on the page and in a tear sheet; empty if it is not shown there.
        line: Its name in the terminal; empty if it is not printed.
        compared: Values in a tear sheet, for an asterisk: ``*``, ``*.rms``.
        net: It is net of fees, and None where a fee has no known value.
        part: It is a part of ``pnl_quoting``, which adds up over markets.
        leg: Its place among the numbers of a leg, from 1; 0 if a leg does not show it.
        members: Numbers within it whose unit or reason differs, by their dotted names.
    """

    unit: str = ""
    meaning: str = ""
    null: str = ""
    group: str = ""
    line: str = ""
    digits: int = 4
    compared: tuple[str, ...] = ()
    net: bool = False
    part: bool = False
    leg: int = 0
    members: Mapping[str, Member] = field(default_factory=dict)


NUMBER = "number"  # key of a field's metadata


def number(unit: str = "", meaning: str = "", **more: Any) -> Any:
    """Declare a key that every run has; one of an older version may lack it, and is read as None."""
    return field(default=None, metadata={NUMBER: Number(unit, meaning, **more)})


def sometimes(unit: str = "", meaning: str = "", **more: Any) -> Any:
    """Declare a key that only some runs have: the value of others is UNSET (`given`)."""
    return field(default=UNSET, metadata={NUMBER: Number(unit, meaning, **more)})


def given(value: T | UnsetType | None) -> T | None:
    """Return None for a key that the run does not have."""
    return None if isinstance(value, UnsetType) else value
