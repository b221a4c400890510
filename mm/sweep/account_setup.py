"""The setup of several symbols on one account, from the knobs that each has."""

from collections.abc import Mapping
from dataclasses import replace

from mm.backtest.account_limits import AccountTerms
from mm.cli.symbol_runs import account_knobs
from mm.errors import UsageError
from mm.play.account_play import days_with_data
from mm.play.knobs import OneAccount, PerSymbol
from mm.play.setup import GROUPS_BY_NAME, AccountSetup, Setup


def account_setup(
    setup: Setup, one_account: OneAccount, per_symbol: PerSymbol, limits: AccountTerms
) -> AccountSetup | None:
    """Return None if each symbol is played alone; UsageError for a single symbol, or an unknown one in PER_SYMBOL."""
    if not one_account.one_account:
        return None
    if "," not in setup.day.symbol:
        raise UsageError("{one_account} is 1, and {symbol} is {} alone; give a list", setup.day.symbol)
    groups = [getattr(setup, name) for name in GROUPS_BY_NAME]
    by_symbol = account_knobs(setup.day.symbol, [*groups, per_symbol])
    setups = {symbol: Setup.of(*own.values()) for symbol, own in by_symbol.items()}
    return AccountSetup(day=setup.day, setups=setups, limits=limits)


def on_known_days(account: AccountSetup) -> tuple[AccountSetup, Mapping[str, tuple[str, ...]]]:
    """Play each symbol on its existing days; return also the days that each lacks."""
    days = {symbol: days_with_data(one.day) for symbol, one in account.setups.items()}
    setups = {symbol: replace(one, day=days[symbol][0]) for symbol, one in account.setups.items()}
    return replace(account, setups=setups), {symbol: absent for symbol, (_, absent) in days.items() if absent}
