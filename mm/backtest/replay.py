"""A backtest in one call: tapes in, result out."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.result import Books, Result
from mm.backtest.rules import Rules
from mm.backtest.tape import Tape
from mm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def backtest(
    tape: Tape | Iterable[Tape],
    quotes: object,
    fills: object,
    rules: Rules,
    *,
    step: Callable[[int], None] | None = None,
) -> Result:
    """Play recorded days against a quote model and a fill model.

    Args:
        tape: One tape, or tapes in order of time; inventory, cash, orders and timers carry over.
        quotes: A compiled quote model, or any object with ``quote(view)``.
        fills: A compiled fill model, or any object with ``on_trade`` or ``on_book``.
        rules: What binds our orders; its grid must be the tapes'.
        step: Told the µs of tape that went by, for a progress bar.

    Raises:
        Mismatch: If the tapes do not follow each other on one grid.
        ModelError: If a user's model raises, or answers what cannot be acted on.
    """
    exchange = PaperExchange(quotes, fills, rules)
    days: list[str] = []
    first: Tape | None = None
    for one in _each(tape):
        first = first or one
        days.extend(one.days)
        exchange.run(one, step)
    if first is None:
        raise UsageError("backtest was given no tape; give at least one")
    books = Books(
        instrument=first.instrument,
        days=tuple(days),
        quote_model=model_name(quotes),
        fill_model=model_name(fills),
        initial_cash_e8=rules.start_cash_e8,
        quote_lots=rules.quote_lots,
        feed=exchange.feeds[0].told() if exchange.feeds else None,
    )
    return Result(exchange.journal(), books)


def _each(tape: Tape | Iterable[Tape]) -> "Iterator[Tape]":
    yield from [tape] if isinstance(tape, Tape) else tape


def model_name(model: object) -> str:
    """Return what a model is called in results: its own ``name``, or that of its class."""
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__
