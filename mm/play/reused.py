"""Objects that have played before: what they kept in themselves is there in the next run."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import ref

from mm.backtest.fills.base import FillModel
from mm.backtest.quotes.base import QuoteModel
from mm.base.user_code import USER_ERRORS

if TYPE_CHECKING:
    from mm.backtest.result import Result

_CHANGED: dict[int, Callable[[], object]] = {}  # objects that a run has changed, by id
_NEW = (str, type, partial, tuple, QuoteModel, FillModel)  # made anew by each run, or reset


@contextmanager
def reuse_said(*models: object) -> "Iterator[Callable[[Result], Result]]":
    """Yield what adds a warning to a result if a run before has changed one of the *models*."""
    objects = [model for model in models if model is not None and not isinstance(model, _NEW)]
    names = [type(model).__name__ for model in objects if _CHANGED.get(id(model), _nothing)() is model]
    before = [_state(model) for model in objects]
    try:
        yield partial(_with_warning, names)
    finally:
        for model, state in zip(objects, before, strict=True):
            if _state(model) != state:
                _CHANGED[id(model)] = _reference(model)


def _nothing() -> None:
    return None


def _reference(model: object) -> Callable[[], object]:
    try:
        return ref(model)
    except TypeError:  # a class with slots
        return lambda: model


def _state(model: object) -> bytes:
    """Its content; another one each time if it cannot be told."""
    try:
        return pickle.dumps(model.__getstate__())
    except USER_ERRORS:
        return uuid4().bytes


def _with_warning(names: list[str], result: "Result") -> "Result":
    said = tuple(
        f"this {name} object has run before and kept state, with which this run began; give its class, or a new object"
        for name in names
    )
    return replace(result, terms=replace(result.terms, model_notes=(*result.terms.model_notes, *said)))
