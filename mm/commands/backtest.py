"""``mm backtest``."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import Output
from mm.cli.config import OrdersFile
from mm.cli.frame import runner
from mm.cli.symbol_runs import account_knobs
from mm.commands.account_runs import opened_plays, write_account
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol, Sensitivity, TradeAgain
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.play.play import Play


@runner("backtest", brief=(Day, Execution, Account, Models, Output))
def backtest(
    run: Run,
    day: Day,
    market: Market,
    execution: Execution,
    account: Account,
    margin: Margin,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    sensitivity: Sensitivity,
    orders_file: OrdersFile,
    one_account: OneAccount,
    per_symbol: PerSymbol,
    limits: AccountTerms,
    again: TradeAgain,
) -> None:
    """Replay one or more recorded days with a quote model and a fill model.

    Example: DAY=20251216 SYMBOL=BTCUSDT mm backtest
    """
    from mm.runs.noted import begin_play

    if one_account.one_account:
        groups = (day, market, execution, account, margin, models, others, risk, again, per_symbol)
        plays, absent = opened_plays(run, account_knobs(day.symbol, groups))
        for one in plays.values():
            begin_play(run, one)
        write_account(run, plays, limits, absent, orders_file.orders_format)
        return
    from mm.backtest.summary_text import text_of
    from mm.play.models import check_names
    from mm.play.play import Play
    from mm.play.setup import Setup
    from mm.runs.noted import note_setup, opened

    check_names(models)
    markets = opened(run, day, market, others, again)
    setup = Setup.of(day, market, execution, account, margin, models, risk, others, again)
    play = Play.of(setup, markets, sensitivity=sensitivity)
    note_setup(run, play)
    begin_play(run, play)
    with playing(run, play) as (base, further):
        result = run.write_result(base, further=further, orders_format=orders_file.orders_format)

    run.print(text_of(result.summary))


@contextmanager
def beside(play: "Play", step: Callable[[int], None]) -> "Iterator[Callable[[Result], Result]]":
    """Play the sensitivity in another thread; yield the function that adds it to the main run's summary."""
    with ThreadPoolExecutor(1) as other:
        rows = other.submit(play.variants.further, step).result if play.concurrent else None
        yield partial(play.with_further, step=step, rows=rows)


@contextmanager
def playing(run: Run, play: "Play") -> "Iterator[tuple[Result, Callable[[Result], Result]]]":
    """Yield also the result, which is recorded; else as `beside`."""
    from mm.backtest.replay import by_events
    from mm.play.design import Design, recorded
    from mm.trials.moves import keep_moves
    from mm.trials.on_record import Recording

    design = Design.of_play(play)
    with (
        run.progress("play", play.events) as advance,
        beside(play, by_events(play.tapes, advance)) as further,
    ):
        with run.timing("play"):
            base = play.run_base(by_events(play.tapes, advance))
            base.journal.spill_state(run.partial)
        keep_moves(run.out_root, play.tapes)
        with run.timing("trials"):
            base = recorded(base, design, Recording(run.out_root, run.kind, run.id))
        yield base, further
