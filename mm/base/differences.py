"""The rows in which two tables differ: of two runs, a run and its replay, a model played twice."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TypeVar

Row = TypeVar("Row")


def differences(ours: Iterable[Row], theirs: Iterable[Row]) -> Iterator[tuple[int, Row | None, Row | None]]:
    """Yield position (from 0) and both rows of each difference; None for a missing row."""
    for place, (our_row, their_row) in enumerate(zip_longest(ours, theirs)):
        if our_row != their_row:
            yield place, our_row, their_row


def first_difference(ours: Iterable[Row], theirs: Iterable[Row]) -> tuple[int, Row | None, Row | None] | None:
    return next(differences(ours, theirs), None)
