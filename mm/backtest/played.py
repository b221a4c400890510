"""What a run played: the quote model with the steps around it, their effective parameters, and the gammas in use."""

import math
from collections.abc import Iterator
from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from mm.tape.columns import GAP, KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

NEAREST = 4096  # events that are looked at first
PARTS = ("inner", "model", "models", "weights", "name", "signals")  # of a model: no parameters
UNSAID = {"gamma": "auto", "sigma": "tape"}  # what NaN means in a compiled model; k and A: its `sources`


def played(model: object) -> dict[str, Any]:
    """Return what ``Books`` keeps of a quote model that has been played."""
    return {"strategy": strategy_of(model), "gammas": gammas_of(model), "bound_clips": bound_clips(model)}


def bound_clips(model: object) -> float | None:
    """Return the inventory, in clips, at which a quote model stops buying or selling; None where it has no bound.

    It is the least finite ``q_max`` of the model and of what it is put around (``inner``).
    """
    bounds = []
    while model is not None:
        bound = getattr(model, "q_max", None)
        if isinstance(bound, int | float) and 0 < bound < math.inf:
            bounds.append(float(bound))
        model = getattr(model, "inner", None)
    return min(bounds, default=None)


def untraded_us(tape: "Tape") -> tuple[int, int]:
    """Return how long the stretch without a trade lasts that is more than half the window (0: none), and the window.

    Such a stretch contains the middle of the window, so the two trades around the middle decide. Where there is one,
    the time without a book counts in neither, as no quotes stand then.
    """
    window = tape.end_us - tape.start_us
    middle = int(np.searchsorted(tape.event_us, tape.start_us + window // 2))
    first = int(np.searchsorted(tape.event_us, tape.start_us))
    before, after = _first_trade(tape.kind[first:middle][::-1]), _first_trade(tape.kind[middle:])
    begin = tape.start_us if before is None else int(tape.event_us[middle - 1 - before])
    end = tape.end_us if after is None else int(tape.event_us[middle + after])
    if 2 * (end - begin) <= window:
        return 0, window
    found, covered = _with_book_us(tape, begin, end), _with_book_us(tape, tape.start_us, tape.end_us)
    return (found if 2 * found > covered else 0), covered


def _with_book_us(tape: "Tape", begin_us: int, end_us: int) -> int:
    """Return for how long of a span of time there is a book."""
    turns = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == KEYFRAME) | (tape.kind == GAP))
    ends_us = np.clip(np.append(tape.event_us[turns], end_us), begin_us, end_us)
    return int(np.diff(ends_us)[tape.kind[turns] != GAP].sum())


def _first_trade(kinds: "NDArray[np.uint8]") -> int | None:
    """Return the place of the first trade among *kinds* of events; None without one. Mostly it is among the nearest."""
    width = NEAREST
    while not (found := kinds[:width] == TRADE).any():
        if width >= len(kinds):
            return None
        width *= 16
    return int(found.argmax())


def gammas_of(model: object) -> "NDArray[np.float64] | None":
    """Return each gamma that a played model and those inside it quoted with, and how many times: shape (gammas, 2).

    A model that counts none, as one in Python, shows its attribute ``gamma``; None where there is none at all.
    """
    counted = [one.gammas() for one in _each(model) if hasattr(one, "gammas")]
    if any(len(rows) for rows in counted):
        return np.concatenate(counted)
    fixed = [one for one in (getattr(part, "gamma", None) for part in _each(model)) if isinstance(one, int | float)]
    shown = [(float(one), 1.0) for one in fixed if math.isfinite(one)]
    return np.array(shown) if shown else None


def strategy_of(model: object) -> dict[str, Any]:
    """Return a quote model as JSON: its class, its effective parameters, and the models inside it.

    A parameter that the run finds by itself reads ``auto``, ``touch`` or ``tape``, one of the fit ``fit``; a bound that
    is none reads ``none``, and a k or an A that the model does not use is left out.
    """
    inside = [strategy_of(one) for one in _inside(model)]
    terms = {"model": type(model).__name__, "parameters": _parameters(model)}
    return {**terms, "inner": inside} if inside else terms


def _each(model: object) -> Iterator[Any]:
    yield model
    for one in _inside(model):
        yield from _each(one)


def _inside(model: object) -> list[object]:
    inner, models = getattr(model, "inner", None), getattr(model, "models", None)
    if inner is not None:
        return [inner]
    return list(models) if isinstance(models, list | tuple) else []


def _parameters(model: object) -> dict[str, Any]:
    """Return what a compiled model shows of itself; a model in Python says nothing here."""
    names = [
        name
        for kind in reversed(type(model).__mro__)
        for name, one in vars(kind).items()
        if isinstance(one, GetSetDescriptorType) and name not in PARTS and not name.startswith("_")
    ]
    found = {name: _plain(name, getattr(model, name)) for name in names}
    if isinstance(model, HasSources):
        sources = {name: one for name, one in model.sources().items() if math.isnan(getattr(model, name))}
        found = {name: sources.get(name, value) for name, value in found.items()}
    return {name: value for name, value in found.items() if value is not None}


@runtime_checkable
class HasSources(Protocol):
    """A quote model that has k or A from elsewhere."""

    def sources(self) -> dict[str, str | None]:
        """Return where each comes from if it is no number; None where the model does not use it."""
        ...


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return UNSAID.get(name, "auto") if math.isnan(value) else "none"
    return value if isinstance(value, int | float | str) else str(value)
