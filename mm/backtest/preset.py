"""Presets of asset classes: tick, lot, contract multiplier, fees, trading hours, and short positions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from mm.backtest.exchange_sessions import is_in_session, sessions_of
from mm.clock import EPOCH, US_PER_S, zone_of
from mm.instrument import E8, e8

_E16 = E8 * E8
_WEEK_MIN = 7 * 24 * 60
_LONGEST_CLOSURE_US = 14 * 24 * 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees of a fill (maker, taker), per share, contract or coin in 1e-8 of the quote asset, and as a share of the
    notional.

    A negative fee is a rebate.
    """

    unit_e8: tuple[int, int] = (0, 0)
    rate_e8: tuple[int, int] = (0, 0)

    def fee(self, qty_e8: int, notional_e16: int, *, taker: bool) -> int:
        """A fill's fee, 1e-8 of the quote asset, rounded half to even; *notional_e16* includes the multiplier."""
        fee, rest = divmod(self.unit_e8[taker] * qty_e8 * E8 + self.rate_e8[taker] * notional_e16, _E16)
        return fee + (2 * rest > _E16 or (2 * rest == _E16 and fee % 2 == 1))


@dataclass(frozen=True, slots=True)
class Hours:
    """Trading hours of the week in the market's time zone; without spans it is always open.

    Attributes:
        spans: Each session's opening, minutes since Monday 00:00, and length.
        calendar: Exchange whose holidays and early closes count too (`sessions_of`).
    """

    zone: str
    spans: tuple[tuple[int, int], ...]
    calendar: str = ""

    def is_open(self, us: int) -> bool:
        if not self.spans:
            return True
        here = self._local(us)
        minute = (here.weekday() * 24 + here.hour) * 60 + here.minute
        if not any((minute - begin) % _WEEK_MIN < length for begin, length in self.spans):
            return False
        return not self.calendar or is_in_session(self.calendar, us, here.year)

    def last_opening(self, us: int) -> int:
        """*us* if open then, else the last opening before."""
        if self.is_open(us):
            return us
        return max(turn_us for turn_us in self.borders(us - _LONGEST_CLOSURE_US, us) if self.is_open(turn_us))

    def borders(self, from_us: int, to_us: int) -> list[int]:
        """Openings and closings in (from, to], in order."""
        here = self._local(from_us)
        monday = here.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=here.weekday())
        weeks = range(-1, (to_us - from_us) // (_WEEK_MIN * 60 * US_PER_S) + 2)
        minutes = {
            week * _WEEK_MIN + at for week in weeks for begin, lasts in self.spans for at in (begin, begin + lasts)
        }
        stamps = ((monday + timedelta(minutes=minute)).replace(tzinfo=here.tzinfo).timestamp() for minute in minutes)
        turns = {round(stamp_s) * US_PER_S for stamp_s in stamps}
        for year in range(here.year, self._local(to_us).year + 1) if self.calendar else ():
            turns |= {us for session in sessions_of(self.calendar, year) or () for us in session}
        return [us for us in sorted(turns) if from_us < us <= to_us and self.is_open(us) != self.is_open(us - 1)]

    def open_spans(self, from_us: int, to_us: int) -> list[tuple[int, int]]:
        edges = [from_us, *self.borders(from_us, to_us), to_us]
        return [(begin, end) for begin, end in pairwise(edges) if begin < end and self.is_open(begin)]

    def _local(self, us: int) -> datetime:
        return (EPOCH + timedelta(microseconds=us)).astimezone(zone_of(self.zone or "UTC"))


ALWAYS = Hours("", ())
_WEEKDAYS = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Terms of an asset class.

    Attributes:
        market: Scenario parameters: tick, quantity step, first price, sizes.
        multiplier: Value of one unit per price of 1, quote asset.
    """

    market: Mapping[str, str] = field(default_factory=dict)
    multiplier: int = 1
    fees: Fees = Fees()
    hours: Hours = ALWAYS
    may_short: bool = True
    days_a_year: int = 365


def _sizes(tick_size: str, qty_step: str, start_price: str, *, level: str, order: str) -> dict[str, str]:
    steps = {"tick_size": tick_size, "qty_step": qty_step, "start_price": start_price}
    return steps | {"level_qty": level, "limit_qty": order, "market_qty": order}


PLAIN = Preset()
PRESETS: Mapping[str, Preset] = {
    "equity": Preset(
        market=_sizes("0.01", "1", "200", level="300", order="100"),
        fees=Fees(unit_e8=(-e8("0.0020"), e8("0.0030"))),
        hours=Hours("America/New_York", tuple((day * 1440 + 570, 390) for day in _WEEKDAYS), "XNYS"),
        days_a_year=252,
    ),
    "future": Preset(
        market=_sizes("0.25", "1", "5000", level="40", order="5"),
        multiplier=50,
        fees=Fees(unit_e8=(e8("2.25"), e8("2.25"))),
        hours=Hours("America/Chicago", tuple((day * 1440 - 420, 1380) for day in _WEEKDAYS), "CMES"),
        days_a_year=252,
    ),
    "crypto": Preset(
        market=_sizes("0.01", "0.00001", "60000", level="0.5", order="0.05"),
        fees=Fees(rate_e8=(e8("0.001"), e8("0.001"))),
        may_short=False,
    ),
}
"""The presets by name; docs/models.md has a worked example of each."""


def hours_of(preset: str | None) -> Hours | None:
    """Return the trading hours of a preset by name; None for a market that is always open."""
    hours = ALWAYS if preset is None else PRESETS[preset].hours
    return hours if hours.spans else None
