"""The asset in which an account of several quote assets is summed; docs/specification/engine.md, *One account*."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.pnl import SAFE, EquitySeries
from mm.base.arithmetic import greatest
from mm.errors import UsageError
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.journal import Mids
    from mm.backtest.metrics.pnl import AccountSeries
    from mm.base.arrays import Ints, Numbers
    from mm.instrument import Instrument

PER_UNIT = 10**12  # units of a converted amount

Assets = Mapping[str, tuple[str, str]]
"""Base and quote asset, by symbol."""


@dataclass(frozen=True)
class Conversion:
    """A symbol whose mid converts amounts; *inverse* if they are of its quote asset."""

    pair: str
    inverse: bool

    def fraction(self, instrument: "Instrument") -> tuple[int, int]:
        """The factor at a doubled mid of one tick: numerator and denominator."""
        factor = instrument.tick_e8, 2 * E8
        return (factor[1], factor[0]) if self.inverse else factor


@dataclass(frozen=True)
class Numeraire:
    """The asset of sums and limits, and the conversion of each symbol in another quote asset.

    Attributes:
        main: The quote asset of most symbols, in which cash at the start is.
    """

    asset: str
    main: str
    by: Mapping[str, Conversion]

    @classmethod
    def of(cls, assets: Assets, asked: str | None = None) -> "Numeraire":
        """Raise UsageError if no symbol converts a quote asset."""
        count = Counter(quote for _, quote in assets.values())

        def rank(asset: str) -> tuple[int, int, str]:
            ways = [conversion_of(assets, quote, asset) for quote in count if quote != asset]
            return -count[asset], sum(2 if way is None else int(way.inverse) for way in ways), asset

        main = min(count, key=rank)
        asset, by = asked or main, dict[str, Conversion]()
        for symbol, (_, quote) in assets.items():
            if quote == asset:
                continue
            way = conversion_of(assets, quote, asset)
            if way is None:
                raise UsageError(
                    f"ONE_ACCOUNT: {symbol} earns {quote}, and sums are in {asset} (NUMERAIRE), but no symbol of the "
                    f"account has both; add {quote}{asset} or {asset}{quote} to --symbol (SYMBOL), or give another "
                    f"--numeraire (NUMERAIRE)"
                )
            by[symbol] = way
        return cls(asset, main, by)

    def series(
        self, accounts: "Mapping[str, AccountSeries]", grids: "Mapping[str, Instrument]"
    ) -> dict[str, EquitySeries]:
        """Return each symbol's money in the numeraire; a symbol whose pair had no mid has none."""
        counted = dict[str, EquitySeries]()
        for symbol, account in accounts.items():
            way = self.by.get(symbol)
            if way is None:
                counted[symbol] = account
            elif way.pair in accounts:
                counted[symbol] = converted(account, accounts[way.pair], way.fraction(grids[way.pair]), way.inverse)
        return counted

    def to_json(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "by": {symbol: way.pair for symbol, way in self.by.items()},
            "inverse": sorted({way.pair for way in self.by.values() if way.inverse}),
        }


def conversion_of(assets: Assets, asset: str, to: str) -> Conversion | None:
    """The symbol of *to* per *asset*, else the one of *asset* per *to*."""
    for inverse, wanted in ((False, (asset, to)), (True, (to, asset))):
        if found := sorted(symbol for symbol, pair in assets.items() if pair == wanted):
            return Conversion(found[0], inverse)
    return None


def converted(
    account: "AccountSeries", pair: "AccountSeries", fraction: tuple[int, int], inverse: bool
) -> EquitySeries:
    """Return the money of *account* at the mids of *pair*, a row for each change of either, rounded half to even."""
    instants = np.unique(np.concatenate((account.us, pair.us[pair.us > account.us[0]])))
    us = np.concatenate((instants[:1], instants))
    row = np.maximum(np.searchsorted(account.us, us, side="right") - 1, 0)
    row[0] = 0  # an account may have more than one row at its first instant
    marks2 = pair.marks2[np.maximum(np.searchsorted(pair.us, us, side="right") - 1, 0)].astype(object)
    up, down = fraction
    up, down = PER_UNIT * up, account.per_quote * down

    def worth(units: "Numbers") -> "Numbers":
        units = units[row].astype(object)
        above, below = (units * up, marks2 * down) if inverse else (units * marks2 * up, down)
        return _narrow(half_even(above, below))

    return EquitySeries(us, account.valid[row], worth(account.equity), worth(account.quoting), PER_UNIT, account.spans)


def half_even(above: Any, below: Any) -> Any:
    """Divide whole numbers, of which *below* is above 0, and round half to even."""
    whole = above // below
    twice = 2 * (above - whole * below)
    return whole + ((twice > below) | ((twice == below) & (whole % 2 == 1)))


def _narrow(values: "Numbers") -> "Numbers":
    return values.astype(np.int64) if greatest(values) < SAFE // 2 else values


def mids_at(mids: "Mids", us: "Iterable[int]") -> "Ints":
    """The doubled mid at each instant: the last valid one up to it, else the first; 0 without any."""
    known = mids[mids.mid2 > 0]
    at = np.searchsorted(known.us, np.asarray(us, np.int64), side="right") - 1
    found: Ints = known.mid2[np.maximum(at, 0)] if len(known) else np.zeros(len(at), np.int64)
    return found


def converted_number(value: float | None, rate: Fraction) -> float | None:
    """Round half to even, as the rows."""
    if value is None or not math.isfinite(value):
        return None
    return round(Fraction(str(value)) * rate * PER_UNIT) / PER_UNIT
