# Generated from mm/backtest/metrics/_json_values.pyx by `make stubs`; edit that file instead.

"""Recursive passes over JSON values: a summary has about a thousand, and each run and sweep point has a summary."""

from collections.abc import Container
from typing import Any

def finite(value: Any) -> Any:
    """Return a JSON value with None in place of every non-finite number, at any depth, and lists in place of tuples."""

def missing(key: str, value: object, reasons: Container[str]) -> list[str]:
    """Return the dotted names that are None under a *key*: the key itself, its members, or the members of its rows.

    A key of *reasons* whose members are all None is reported in their place.
    """

def check(value: object) -> None:
    """Raise TypeError or ValueError with the path of a value that JSON cannot represent, e.g. a number of a model."""

def joined_numbers(values: list[float | None], between: str) -> str:
    """Return numbers as JSON text, each by its ``repr`` and None as ``null``; *between* has up to 8 ASCII characters.

    Numbers of up to 8 decimals and 15 digits, such as money, are formatted as decimals, which equals their ``repr``.

    Raises:
        ValueError: If one is not finite.
    """
