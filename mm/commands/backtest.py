"""``mm backtest``: replay recorded days with a quote model and a fill model."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mm.backtest.replay import by_events
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.summary_text import text_of
from mm.cli.config import OrdersFile
from mm.commands import assemble
from mm.models.builder import ModelBuilder, check_names, note_predictors
from mm.models.play import Backtest
from mm.play.knobs import Day, Market, Models, OtherMarkets, Sensitivity
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.backtest.result import Result


def main(
    run: Run,
    day: Day,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    sensitivity: Sensitivity,
    orders_file: OrdersFile,
) -> None:
    """Replay one or more recorded days with a quote model and a fill model."""

    check_names(models)
    tapes = assemble.tapes(run, day, market)
    builder = ModelBuilder(run, models, tapes[0], account.seed)
    builder.note_fit(tapes)
    rules = assemble.rules(tapes[0], execution, account, models, risk=risk, run=run)
    feeds = assemble.other_feeds(run, day, market, others, tapes)
    rules = assemble.with_others(rules, feeds, others.declared(), account)
    assemble.warn_of_missing_days(run.log, day)
    assemble.warn_of_fees(run.log, tapes[0], rules)
    quotes = builder.quotes()
    builder.fills()
    ours = quotes if builder.registered_only() else None
    assemble.warn_of_unearned_fee(run.log, [assemble.unearned_fee(assemble.median_touch(tapes[0]), rules, ours)])
    note_predictors(run, builder.predictors, tapes[0].start_us)
    assemble.check_agents(run, models, execution, tapes)
    rules = assemble.with_micro_price(run, rules, quotes, day, market, tapes[0], run.tapes)
    whole = Backtest(tapes, rules, builder, sensitivity, models.fit_draws)
    with playing(run, whole) as (base, further):
        result = run.write_result(base, further=further, orders_format=orders_file.orders_format)

    run.print(text_of(result.summary))


@contextmanager
def beside(whole: "Backtest", step: Callable[[int], None]) -> "Iterator[Callable[[Result], Result]]":
    """Play the sensitivity of a backtest in another thread, beside the main backtest and the writing of its files.

    Yields:
        The function that adds the further backtests to the summary of the main one.
    """
    with ThreadPoolExecutor(1) as other:
        rows = other.submit(whole.strategy.further, step).result if whole.concurrent else None
        yield partial(whole.with_further, step=step, rows=rows)


@contextmanager
def playing(run: Run, whole: "Backtest") -> "Iterator[tuple[Result, Callable[[Result], Result]]]":
    """Play a backtest of a run, with its sensitivity beside it.

    Yields:
        The main backtest, many of whose state rows are moved to a temporary file of the run, and the function that adds
        the further backtests to its summary.
    """

    if whole.sensitivity.queue_exponent_file is not None:
        run.input_file(whole.sensitivity.queue_exponent_file)
    with (
        run.progress("play", whole.events) as advance,
        beside(whole, by_events(whole.tapes, advance)) as further,
    ):
        with run.timing("play"):
            base = whole.play_base(by_events(whole.tapes, advance))
            base.journal.spill_state(run.partial)
        yield base, further
