"""Presets: one worked example of each asset class, fees against fractions, hours across summer time."""

from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from desks import START_US, still_desk
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.preset import PRESETS, Fees
from mm.instrument import E8, Instrument, e8


def at(text: str, zone: str) -> int:
    """Return a time of a zone in µs."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def account_after(name, orders):
    """Return the profit, cash and fees of client ``a`` after orders of (client, side, price, size)."""
    preset = PRESETS[name]
    grid = Instrument(name.upper(), e8(preset.market["tick_size"]), e8(preset.market["qty_step"]))
    desk = still_desk(preset, grid)
    desk.advance(at("2026-01-06 10:00", "America/New_York"))  # a Tuesday: every market is open
    for client_name, side, price, size in orders:
        desk.place(client_name, side, "limit", e8(price), e8(size))
    client = desk.clients["a"]
    return desk.profit_e16(client) / 1e16, client.cash_e16 / 1e16, client.fees_e8 / 1e8


def test_equity_example():
    """100 shares bought as maker at 50.00, sold as taker at 50.10: 10.00 + 0.20 rebate - 0.30."""
    orders = [("a", 1, "50.00", "100"), ("b", -1, "50.00", "100"), ("b", 1, "50.10", "100"), ("a", -1, "50.10", "100")]
    assert account_after("equity", orders) == (9.9, 9.9, 0.1)


def test_future_example():
    """2 contracts of 50 per point, bought at 5000.00 and sold at 5001.25: 125.00 less 4 times 2.25."""
    orders = [
        ("a", 1, "5000", "2"), ("b", -1, "5000", "2"),
        ("b", 1, "5001.25", "2"), ("a", -1, "5001.25", "2"),
    ]  # fmt: skip
    assert account_after("future", orders) == (116.0, 116.0, 9.0)


def test_crypto_example():
    """0.5 bought at 60000 and held at a mid of 60100: 50.00 less 30.00."""
    # The seller of a coin must own it: the market's own account sells here.
    preset = PRESETS["crypto"]
    desk = still_desk(preset, Instrument("COIN", e8("0.01"), e8("0.00001")))
    desk._core.submit(START_US, 1000, -1, 6_000_000, 50_000)
    desk.place("a", 1, "limit", e8("60000"), e8("0.5"))
    desk._core.submit(START_US, 1000, 1, 6_009_900, 1)
    desk._core.submit(START_US, 1000, -1, 6_010_100, 1)
    client = desk.clients["a"]
    assert (desk.profit_e16(client) / 1e16, client.cash_e16 / 1e16, client.fees_e8 / 1e8) == (20.0, -30030.0, 30.0)


@given(
    st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9)),
    st.tuples(st.integers(-(10**7), 10**7), st.integers(-(10**7), 10**7)),
    st.integers(1, 10**14),
    st.integers(1, 10**24),
    st.booleans(),
)
def test_fees_are_rounded_half_to_even(units, rates, qty_e8, notional_e16, taker):
    """Python rounds fractions half to even."""
    exact = Fraction(units[taker] * qty_e8, E8) + Fraction(rates[taker] * notional_e16, E8 * E8)
    assert Fees(units, rates).fee(qty_e8, notional_e16, taker=taker) == round(exact)


@pytest.mark.parametrize(
    ("name", "zone", "text", "is_open"),
    [
        ("equity", "America/New_York", "2026-01-06 09:29:59", False),
        ("equity", "America/New_York", "2026-01-06 09:30", True),
        ("equity", "America/New_York", "2026-07-06 15:59:59", True),
        ("equity", "America/New_York", "2026-07-06 16:00", False),
        ("equity", "America/New_York", "2026-01-10 12:00", False),
        ("future", "America/Chicago", "2026-01-11 16:59:59", False),
        ("future", "America/Chicago", "2026-01-11 17:00", True),
        ("future", "America/Chicago", "2026-01-12 00:00", True),
        ("future", "America/Chicago", "2026-01-12 16:30", False),
        ("future", "America/Chicago", "2026-01-12 17:00", True),
        ("future", "America/Chicago", "2026-01-16 16:00", False),
        ("crypto", "UTC", "2026-01-10 03:00", True),
    ],
)
def test_opening_hours(name, zone, text, is_open):
    """By the market's own clock, winter and summer."""
    hours = PRESETS[name].hours
    us = at(text, zone)
    assert hours.is_open(us) is is_open
    opening = hours.last_opening(us)
    assert hours.is_open(opening)
    assert opening <= us
    assert opening == us or not hours.is_open(opening - 1)


def test_last_opening_on_a_weekend_is_friday_morning():
    """Saturday has no opening, and Monday's is in the future."""
    opening = PRESETS["equity"].hours.last_opening(at("2026-11-21 12:00", "America/New_York"))
    assert opening == at("2026-11-20 09:30", "America/New_York")
