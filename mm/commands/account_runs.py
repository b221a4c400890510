"""What commands share that play several symbols on one account."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.account_limits import AccountLimits
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.symbol_runs import Knobs, account_knobs
from mm.errors import UsageError
from mm.play.knobs import NOT_AGAIN, Day, Market, Models, OneAccount, OtherMarkets, PerSymbol, TradeAgain
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.play.play import Play
    from mm.play.setup import AccountSetup, Setup

VARIED = (Market, Execution, Account, Margin, Models, OtherMarkets, Risk)  # whose knobs may differ between symbols
Absent = Mapping[str, tuple[str, ...]]


def account_setup(
    setup: "Setup", one_account: OneAccount, per_symbol: PerSymbol, limits: AccountLimits
) -> "AccountSetup | None":
    """Return None if each symbol is played alone; UsageError for a single symbol, or an unknown one in PER_SYMBOL."""
    from mm.play.setup import GROUPS_BY_NAME, AccountSetup, Setup

    if not one_account.one_account:
        return None
    if "," not in setup.day.symbol:
        raise UsageError("{one_account} is 1, and {symbol} is {} alone; give a list", setup.day.symbol)
    groups = [getattr(setup, name) for name in GROUPS_BY_NAME]
    by_symbol = account_knobs(setup.day.symbol, [*groups, per_symbol], VARIED)
    setups = {symbol: Setup.of(*own.values()) for symbol, own in by_symbol.items()}
    return AccountSetup(day=setup.day, setups=setups, limits=limits)


def on_known_days(account: "AccountSetup") -> "tuple[AccountSetup, Absent]":
    """Play each symbol on its existing days; return also the days that each lacks."""
    from mm.play.account_play import days_with_data

    days = {symbol: days_with_data(one.day) for symbol, one in account.setups.items()}
    setups = {symbol: replace(one, day=days[symbol][0]) for symbol, one in account.setups.items()}
    return replace(account, setups=setups), {symbol: absent for symbol, (_, absent) in days.items() if absent}


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
    run: Run, plays: "Mapping[str, Play]", limits: AccountLimits, absent: Absent, orders_format: str
) -> None:
    from mm.backtest.account_text import account_text
    from mm.play.account_play import AccountPlay
    from mm.play.design import Design, recorded_account
    from mm.trials.on_record import Recording

    together = AccountPlay.of(plays, limits, absent)
    designs = {symbol: Design.of_play(play) for symbol, play in plays.items()}
    with run.progress("play", together.events) as advance, run.timing("play"):
        base = together.run(advance)
    with run.timing("trials"):
        base = recorded_account(base, designs, limits, lambda: Recording(run.out_root, run.kind))
    run.print(account_text(run.write_account(base, orders_format).summary))
