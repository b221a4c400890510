"""Settings: conversion and wording by annotation."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from msgspec import Meta, Struct

from mm.base.knobs import REQUIRED, Unit
from mm.base.settings import about, convert, settings, wanted

Positive = Annotated[float, Meta(gt=0)]
TICKS = Unit("ticks", -1)


class Example(Struct, kw_only=True):
    """One field of each sort."""

    mode: Annotated[Literal["near", "far"], about("Where: {words}.")] = "near"
    depth: Annotated[Annotated[Positive | None, about("How deep.", TICKS)], about("How deep in the book.")] = None
    seed: Annotated[int, about("Seed.", by_run=True)]
    models: Annotated[Any, about("Models.", shown="Iterable[object]")] = ()


def test_settings_follow_from_annotations():
    """An inner annotation is kept where the outer one says nothing else."""
    mode, depth, seed, models = settings(Example)
    assert (mode.help, mode.default, mode.reader.metavar) == ("Where: `near`, `far`.", "near", "Literal['near', 'far']")
    assert (seed.default, seed.by_run, models.reader.metavar) == (REQUIRED, True, "Iterable[object]")
    assert (depth.reader.metavar, depth.help, depth.unit) == ("float | None", "How deep in the book.", TICKS)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (float, "a number"),
        (Positive | Literal["auto"] | None, "a number above 0 or auto or null"),
        (Annotated[float, Meta(gt=0, le=1)], "a number above 0 and at most 1"),
        (Annotated[float, Meta(ge=0, lt=1e9)], "a number of at least 0 and below 1000000000"),
        (Annotated[int, Meta(ge=1, le=2**63 - 1)], "a whole number between 1 and 9223372036854775807"),
        (Annotated[float, Meta(ge=0.001, le=1e10)], "a number between 0.001 and 10000000000"),
        (bool, "true or false"),
        (list[str] | None, "a list of texts or null"),
        (Mapping[str, float], "an object of numbers"),
        (Literal["a", "b"], "one of a, b"),
    ],
)
def test_wanted_describes_a_type_in_words(kind, text):
    """The end of every message about an invalid value."""
    assert wanted(kind) == text


def test_values_become_the_declared_type():
    """Numbers of numpy come from Python, whole numbers from JSON."""
    assert [type(convert(value, float)) for value in (1, np.float64(2), np.int64(3))] == [float] * 3
    assert convert(np.array([1, 2]), list[float]) == [1.0, 2.0]
    for value in (math.nan, math.inf, True, "1", None, 0):
        with pytest.raises(ValueError, match=r"^a number above 0$"):
            convert(value, Positive)
    for value in (1.0, 1.5, True):
        with pytest.raises(ValueError, match=r"^a whole number$"):
            convert(value, int)


def test_unchecked_values_are_kept_as_they_are():
    """Objects of the project, and iterables that can be read only once."""
    values = iter([1])
    assert settings(Example)[-1].check("mixed", values) is values
