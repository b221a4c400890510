"""What commands share that play several symbols on one account."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mm.backtest.account_limits import AccountTerms
from mm.cli.symbol_runs import Knobs
from mm.play.knobs import NOT_AGAIN, Day, Market, Models, OtherMarkets, TradeAgain
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.play.play import Play

Absent = Mapping[str, tuple[str, ...]]


def opened_plays(
    run: Run, by_symbol: Mapping[str, Knobs], models_of: Callable[[Models], Models] = lambda models: models
) -> "tuple[dict[str, Play], Absent]":
    """Return each symbol's backtest as alone, before its models are noted, and the days that each lacks."""
    from mm.play.account_play import days_with_data
    from mm.play.models import check_names
    from mm.play.play import Play
    from mm.play.setup import Setup
    from mm.runs.noted import note_setup, opened

    plays, absent = dict[str, Play](), dict[str, tuple[str, ...]]()
    counted = {"events": 0, "rows": 0}
    for symbol, own in by_symbol.items():
        check_names(own[Models])
        day, missing = days_with_data(own[Day])
        if missing:
            absent[symbol] = missing
            run.log.warning("symbol_absent", name=symbol, days=list(missing))
        markets = opened(run, day, own[Market], own[OtherMarkets], own.get(TradeAgain, NOT_AGAIN))
        counted = {name: count + run.timings[name] for name, count in counted.items()}
        given = {**own, Day: day, Models: models_of(own[Models])}
        plays[symbol] = Play.of(Setup.of(*given.values()), markets)
        note_setup(run, plays[symbol])
    run.timings |= counted
    return plays, absent


def write_account(
    run: Run, plays: "Mapping[str, Play]", limits: AccountTerms, absent: Absent, orders_format: str
) -> None:
    from mm.backtest.account_text import account_text
    from mm.play.account_play import AccountPlay
    from mm.play.design import Design, recorded_account
    from mm.trials.moves import keep_moves
    from mm.trials.on_record import Recording

    together = AccountPlay.of(plays, limits, absent)
    designs = {symbol: Design.of_play(play) for symbol, play in plays.items()}
    with run.progress("play", together.events) as advance, run.timing("play"):
        base = together.run(advance)
    for play in plays.values():
        keep_moves(run.out_root, play.tapes)
    with run.timing("trials"):
        base = recorded_account(base, designs, limits, lambda: Recording(run.out_root, run.kind, run.id))
    run.print(account_text(run.write_account(base, orders_format).summary))
