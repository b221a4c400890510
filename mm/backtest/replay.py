"""A backtest in one call: tapes in, result out."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mm.backtest.books import Books
from mm.backtest.fills.intensity import Intensity
from mm.backtest.fills.poisson import Poisson
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
    books = Books(
        instrument=first.instrument,
        days=tuple(days),
        quote_model=model_name(quotes),
        fill_model=model_name(fills),
        initial_cash_e8=rules.start_cash_e8,
        quote_lots=rules.quote_lots,
        lost_lines=lost_lines,
        feed=exchange.feeds[0].told() if exchange.feeds else None,
        starts_us=tuple(starts_us),
        bound_clips=bound_clips(quotes),
        intensity=fills.intensity if intensity is None and isinstance(fills, Poisson) else intensity,
    )
    journal = exchange.journal()
    counters = journal.counters
    counters["events"], counters["rows"] = counters["events"] + passed[0], counters["rows"] + passed[1]
    return Result(journal, books)


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
    bounds = []
    while model is not None:
        bound = getattr(model, "q_max", None)
        if isinstance(bound, int | float) and 0 < bound < math.inf:
            bounds.append(float(bound))
        model = getattr(model, "inner", None)
    return min(bounds, default=None)
