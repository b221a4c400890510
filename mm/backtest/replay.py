"""A backtest in one call: tapes in, result out."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mm.backtest.books import Books
from mm.backtest.fills.intensity import Intensity
from mm.backtest.fills.poisson import Poisson
from mm.backtest.models import FILL_BIAS
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.result import Result
from mm.backtest.rules import Rules
from mm.errors import UsageError
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator


def backtest(
    tape: Tape | Iterable[Tape],
    quotes: object,
    fills: object,
    rules: Rules,
    *,
    step: Callable[[int], None] | None = None,
    intensity: Intensity | None = None,
) -> Result:
    """Play recorded days against a quote model and a fill model.

    Models that look at best prices and trades alone are played on them, where they are kept beside a tape: nothing
    but the time that it takes shows it.

    Args:
        tape: One tape, or tapes in order of time; inventory, cash, orders and timers carry over.
        quotes: A compiled quote model, or any object with ``quote(view)``.
        fills: A compiled fill model, or any object with ``on_trade`` or ``on_book``.
        rules: What binds our orders; its grid must be the tapes'.
        step: Told the µs of tape that went by, for a progress bar.
        intensity: What foresees fills, to hold the run's own against; that of a Poisson model where None.

    Raises:
        Mismatch: If the tapes do not follow each other on one grid.
        ModelError: If a user's model raises, or answers what cannot be acted on.
    """
    exchange = PaperExchange(quotes, fills, rules)
    days: list[str] = []
    starts_us: list[int] = []
    first: Tape | None = None
    passed, lost_lines = [0, 0], 0
    for one in _each(tape):
        first = first or one
        days.extend(one.days)
        starts_us.append(one.start_us)
        lost_lines += one.meta.counts.get("lost_lines", 0)
        best = None if exchange.needs_depth else one.best
        exchange.run(best or one, step)
        if best is not None:
            passed = [many + of - seen for many, of, seen in zip(passed, one.counted, best.counted, strict=True)]
    if first is None:
        raise UsageError("backtest was given no tape; give at least one")
    models = (quotes, fills, intensity)
    books = replace(_books(first, rules, models), days=tuple(days), starts_us=tuple(starts_us), lost_lines=lost_lines)
    if exchange.feeds:
        books = replace(books, feed=exchange.feeds[0].told())
    journal = exchange.journal()
    counters = journal.counters
    counters["events"], counters["rows"] = counters["events"] + passed[0], counters["rows"] + passed[1]
    return Result(journal, books)


def _books(tape: Tape, rules: Rules, models: tuple[object, object, Intensity | None]) -> Books:
    """Return the terms of a run that begins with *tape*, for one day; *models* are quotes, fills and what foresees."""
    quotes, fills, intensity = models
    return Books(
        instrument=tape.instrument,
        days=tape.days,
        quote_model=model_name(quotes),
        fill_model=model_name(fills),
        initial_cash_e8=rules.start_cash_e8,
        quote_lots=rules.quote_lots,
        bound_clips=bound_clips(quotes),
        fill_bias=FILL_BIAS.get(model_name(fills)),
        gamma=gamma_of(quotes),
        target_lots=rules.start_lots,
        intensity=fills.intensity if intensity is None and isinstance(fills, Poisson) else intensity,
    )


def _each(tape: Tape | Iterable[Tape]) -> "Iterator[Tape]":
    yield from [tape] if isinstance(tape, Tape) else tape


def model_name(model: object) -> str:
    """Return what a model is called in results: its own ``name``, or that of its class."""
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__


def bound_clips(model: object) -> float | None:
    """Return the inventory, in clips, at which a quote model stops buying or selling; None where it knows none.

    It is the least finite ``q_max`` of the model and of what it is put around (``inner``).
    """
    bounds = [getattr(one, "q_max", None) for one in _nested(model)]
    return min((float(one) for one in bounds if isinstance(one, int | float) and 0 < one < math.inf), default=None)


def gamma_of(model: object) -> float | None:
    """Return the risk aversion of a quote model or of the one inside it, in 1/(tick·clip); None where it has none.

    A model that finds its own gamma lists each that it quoted with, and how often, in ``gammas()``: the median counts.
    """
    for one in _nested(model):
        listed = one.gammas() if hasattr(one, "gammas") else []
        if listed:
            used, quotes = zip(*sorted(listed), strict=True)
            half = sum(quotes) / 2
            return float(used[next(i for i, seen in enumerate(accumulate(quotes)) if seen >= half)])
        gamma = getattr(one, "gamma", None)
        if isinstance(gamma, int | float) and math.isfinite(gamma):
            return float(gamma)
    return None


def _nested(model: object) -> "Iterator[Any]":
    """Yield a quote model, and those that it is put around."""
    while model is not None:
        yield model
        model = getattr(model, "inner", None)
