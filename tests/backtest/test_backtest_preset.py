"""Presets in a backtest: one worked example of each asset class, trading hours, and explicit fee rates."""

import sys
from fractions import Fraction

import pytest

import mm
from mm import PaperExchange, Result, Rules, Tape, backtest
from mm.backtest.exchange_sessions import sessions_of
from mm.backtest.preset import PRESETS
from mm.backtest.replay import run_terms
from mm.backtest.rules import Account, Execution, rule_fields
from mm.clock import US_PER_S, us_of
from mm.errors import UsageError
from mm.instrument import Instrument, e8
from mm.play.notes import holidays_note
from named import model_of

OPEN_US = us_of("2026-01-06T15:00:00Z")  # a Tuesday, when every market is open
AT_ONCE = Execution(order_latency_ms=0, cancel_latency_ms=0)


class NoQuotes:
    name = "never"

    def quote(self, _view):
        return None


class Touch:
    """Quote one lot at both best prices."""

    name = "touch"

    def quote(self, view):
        return mm.Quotes(view.bid_ticks, view.ask_ticks, 1, 1)


def grid_of(name):
    market = PRESETS[name].market
    return Instrument(name.upper(), e8(market["tick_size"]), e8(market["qty_step"]))


def tape_of(name, *steps):
    """Return a tape with one second between *steps*: (bid, ask) prices, or the price and quantity of a sell."""
    grid, events = grid_of(name), []
    for at, step in enumerate(steps):
        us = OPEN_US + at * US_PER_S
        if len(step) == 3:
            events.append((us, "trade", -1, grid.ticks(step[1]), grid.lots(step[2])))
        else:
            bid, ask = map(grid.ticks, step)
            events.append((us, "snapshot", [(bid, 10**7)], [(ask, 10**7)]))
    return Tape.of(grid, events, "20260106")


def result_of_orders(name, tape, orders, **account):
    """Run *orders* of (second, side, price, quantity, kind) on *tape*, and return the result."""
    grid = tape.instrument
    rules = Rules(grid.tick_e8, grid.lot_e8, **rule_fields(AT_ONCE, Account(preset=name, **account)))
    exchange = PaperExchange(NoQuotes(), model_of("trade_cross"), rules)
    exchange.attach(tape)
    for second, side, price, qty, kind in orders:
        exchange.advance(OPEN_US + second * US_PER_S + US_PER_S // 2)
        assert exchange.place(side, grid.ticks(price), grid.lots(qty), kind)
    exchange.advance(tape.end_us)
    return Result(exchange.journal(), run_terms(tape, rules, (NoQuotes(), model_of("trade_cross"), None)))


def test_equity_preset_matches_worked_example():
    """100 shares bought as maker at 50.00, sold as taker at 50.10: 10.00 + 0.20 rebate - 0.30."""
    tape = tape_of("equity", ("50.00", "50.02"), ("sell", "50.00", "100"), ("50.10", "50.12"), ("50.10", "50.12"))
    orders = [(0, 1, "50.00", "100", "LIMIT_MAKER"), (2, -1, "50.10", "100", "IOC")]
    summary = result_of_orders("equity", tape, orders).summary
    assert (summary["pnl_total"], summary["fees"], summary["n_fills"]) == (9.9, 0.1, 2)


def test_future_preset_matches_worked_example(tmp_path):
    """2 contracts of 50 per point, bought at 5000.00 and sold at 5001.25: 125.00 less 4 times 2.25."""
    steps = ("5000.00", "5000.25"), ("sell", "5000.00", "2"), ("5001.25", "5001.50"), ("5001.25", "5001.50")
    orders = [(0, 1, "5000.00", "2", "LIMIT_MAKER"), (2, -1, "5001.25", "2", "IOC")]
    result = result_of_orders("future", tape_of("future", *steps), orders)
    summary = result.summary
    assert (summary["pnl_total"], summary["fees"]) == (116.0, 9.0)
    assert summary["volume"] == {"base": 4.0, "quote": 1_000_125.0}
    assert (summary["round_trips"]["mean"], summary["pnl_realised"]) == (116.0, 125.0)
    result.write_tables(tmp_path)
    rows = [line.split(",") for line in (tmp_path / "state_FUTURE.csv").read_text().splitlines()]
    cash, mid, value, equity = (rows[0].index(name) for name in ("cash", "mid", "mtm_value", "equity"))
    held = next(row for row in rows[1:] if float(row[1]) == 2)
    assert float(held[cash]) == 1000 - 500_000 - 4.5
    assert float(held[value]) == 2 * 50 * float(held[mid])
    assert Fraction(rows[-1][equity]) == 1116


def test_crypto_preset_matches_worked_example():
    """0.5 bought at 60000 and held at a mid of 60100: 50.00 less 30.00; without enough cash the order is rejected."""
    steps = ("60000", "60001"), ("sell", "60000", "0.5"), ("60099", "60101"), ("60099", "60101")
    tape, orders = tape_of("crypto", *steps), [(0, 1, "60000", "0.5", "LIMIT_MAKER")]
    summary = result_of_orders("crypto", tape, orders, initial_cash="40000").summary
    # The first mid is that of the first state row.
    assert summary["fees"] == 30.0
    assert summary["pnl_realised"] + summary["pnl_unrealised"] - summary["fees"] == summary["pnl_total"] == 20.0
    grid = tape.instrument
    rules = Rules(grid.tick_e8, grid.lot_e8, **rule_fields(AT_ONCE, Account(preset="crypto")))
    exchange = PaperExchange(NoQuotes(), model_of("trade_cross"), rules)
    exchange.attach(tape)
    exchange.advance(OPEN_US + 1)
    assert exchange.place(1, grid.ticks("60000"), grid.lots("0.5")) == 0
    assert exchange.place(-1, grid.ticks("60001"), grid.lots("0.5")) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "begin", "closes_s"), [("equity", "2026-01-06T20:59:50Z", 10), ("future", "2026-01-06T21:59:50Z", 10)]
)
def test_quotes_are_pulled_while_market_is_closed(preset, begin, closes_s):
    """At 16:00 in New York and in Chicago quotes are pulled, and they come back at the next opening."""
    grid, begin_us, hour = grid_of(preset), us_of(begin), 3600 * US_PER_S
    day_s = range(0, 24 * 3600, 60)
    events = [(begin_us + at * US_PER_S, "snapshot", [(5000, 10**6 + at)], [(5002, 10**6)]) for at in day_s]
    rules = Rules(grid.tick_e8, grid.lot_e8, quote_lots=1, **rule_fields(AT_ONCE, Account(preset=preset)))
    result = backtest(Tape.of(grid, events, "20260106"), Touch(), model_of("trade_cross"), rules)
    orders = result.orders
    placed = orders.filter(orders["action"] == "PLACE")["recv_us"].to_list()
    hours, close_us = PRESETS[preset].hours, begin_us + closes_s * US_PER_S
    assert all(hours.is_open(us) for us in placed)
    waited_us = min(us for us in placed if us > close_us) - close_us
    assert 0 < waited_us - (hour if preset == "future" else 17.5 * hour) <= rules.requote_us
    cancels = orders.filter(orders["action"] == "CANCEL_ACK")
    assert cancels["recv_us"].to_list()[:2] == [close_us] * 2
    assert set(cancels["cancel_reason"].to_list()[:2]) == {"pulled"}


def test_day_in_closed_market_places_no_orders():
    grid, begin_us = grid_of("equity"), us_of("2026-01-10T12:00:00Z")  # a Saturday
    events = [(begin_us + at * US_PER_S, "snapshot", [(5000, 10 + at)], [(5002, 10)]) for at in range(100)]
    rules = Rules(grid.tick_e8, grid.lot_e8, quote_lots=1, **rule_fields(AT_ONCE, Account(preset="equity")))
    assert backtest(Tape.of(grid, events), Touch(), model_of("trade_cross"), rules).summary["n_orders"] == 0


def test_explicit_fee_rate_replaces_preset_fee_of_its_role():
    """The maker rate leaves the taker fee unchanged."""
    resolved = rule_fields(Execution(), Account(preset="equity", maker_fee_rate="-0.0001"))
    assert (resolved["maker_fee_e8"], resolved.get("maker_unit_fee_e8", 0)) == (-10_000, 0)
    assert (resolved["taker_fee_e8"], resolved["taker_unit_fee_e8"]) == (0, 300_000)


def test_unit_fees_require_a_margin_account():
    """Where cash limits orders, the cost of a buy is bounded by its notional alone."""
    with pytest.raises(UsageError, match="margin"):
        Rules(1, 1, maker_unit_fee_e8=5)


@pytest.mark.parametrize(
    ("name", "begin", "end", "turns"),
    [
        ("equity", "2026-01-06T00:00:00Z", "2026-01-07T00:00:00Z", ["2026-01-06T14:30:00Z", "2026-01-06T21:00:00Z"]),
        ("future", "2026-01-09T20:00:00Z", "2026-01-12T00:00:00Z", ["2026-01-09T22:00:00Z", "2026-01-11T23:00:00Z"]),
        ("equity", "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z", ["2026-03-09T13:30:00Z", "2026-03-09T20:00:00Z"]),
        ("crypto", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", []),
    ],
)
def test_borders_are_opening_and_closing_times(name, begin, end, turns):
    """In the exchange's time zone, over a weekend, and over the night when summer time begins."""
    assert PRESETS[name].hours.borders(us_of(begin), us_of(end)) == [us_of(turn) for turn in turns]


@pytest.mark.parametrize(
    ("name", "begin", "end", "turns"),
    [
        # Thanksgiving, and an early close on the day after it
        ("equity", "2025-11-27T00:00:00Z", "2025-11-29T00:00:00Z", ["2025-11-28T14:30:00Z", "2025-11-28T18:00:00Z"]),
        # Good Friday and the weekend
        ("future", "2026-04-02T12:00:00Z", "2026-04-06T00:00:00Z", ["2026-04-02T21:00:00Z", "2026-04-05T22:00:00Z"]),
        ("equity", "2025-12-24T12:00:00Z", "2025-12-26T12:00:00Z", ["2025-12-24T14:30:00Z", "2025-12-24T18:00:00Z"]),
    ],
)
def test_holidays_and_early_closes_are_closed(name, begin, end, turns):
    """The hours of the week alone would open the market on these days."""
    assert PRESETS[name].hours.borders(us_of(begin), us_of(end)) == [us_of(turn) for turn in turns]


def test_last_opening_on_a_holiday_is_before_it():
    """Christmas 2025 is a Thursday; the market last opened on the Wednesday."""
    assert PRESETS["equity"].hours.last_opening(us_of("2025-12-25T15:00:00Z")) == us_of("2025-12-24T14:30:00Z")


def test_unknown_holidays_count_as_open_and_are_said(monkeypatch):
    """Without the package a run warns and names the extra."""
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    sessions_of.cache_clear()
    try:
        hours = PRESETS["equity"].hours
        assert hours.is_open(us_of("2025-12-25T15:00:00Z"))
        [note] = holidays_note(hours)
        assert (note.name, "[calendars]" in note.words) == ("holidays_unknown", True)
    finally:
        sessions_of.cache_clear()
    assert not list(holidays_note(None))
