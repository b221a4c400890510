# Generated from mm/backtest/metrics/_json_values.pyx by `make stubs`; edit that file instead.

"""Walks over JSON values of any depth: a summary holds a thousand, and each run and each point of a sweep has one."""

from collections.abc import Container
from typing import Any

def finite(value: Any) -> Any:
    """Return a JSON value with None for every number that is not finite, at any depth, and lists for tuples."""

def missing(key: str, value: object, reasons: Container[str]) -> list[str]:
    """Return the names of what is None under a *key*: itself, or those of its parts, or of those of its rows.

    A key of *reasons* whose parts are all None stands for them.
    """

def check(value: object) -> None:
    """Raise TypeError or ValueError with the place of what JSON cannot hold, as a model's own number may be."""

def joined_numbers(values: list[float | None], between: str) -> str:
    """Return numbers as JSON has them, each by its ``repr`` and None as ``null``, with up to eight ASCII signs between.

    Numbers of up to 8 decimals and 15 digits, as money is, are written as such: no shorter text stands for them.

    Raises:
        ValueError: If one is not finite.
    """
