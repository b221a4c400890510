"""The CSV writer against a plain implementation with Decimal: byte for byte, for any integers."""

import tempfile
from decimal import Context, Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journals import BTCUSDT, Scribe, run_terms, scribes, seeded
from mm.backtest.io import fill_columns, order_columns, state_columns, write_table
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.errors import MMError
from mm.instrument import Instrument

ORDER_FILE = (
    *("recv_ms", "order_id", "action", "status", "side", "price", "qty", "remaining_qty"),
    *("active_recv_ms", "expire_recv_ms", "cancel_req_ms", "cancel_effective_ms", "reject_reason", "cancel_reason"),
    *("recv_us", "active_recv_us", "cancel_effective_us", "expire_recv_us"),
)
FILL_FILE = ("recv_ms", "order_id", "side", "price", "qty", "fee", "reason", "recv_us", "mid", "inventory_after")
STATE_FILE = ("recv_ms", "inventory", "cash", "mid", "mtm_value", "open_orders", "recv_us", "equity")
E8 = Decimal(10) ** -8
WIDE = Context(prec=80)


def places(unit):
    """Return the decimal places of the unit, but at least eight."""
    return max(8, -unit.normalize().as_tuple().exponent)


def ms(us):
    return "" if us < 0 else str(us // 1000)


def us_text(us):
    return "" if us < 0 else str(us)


def word(words, code):
    return "" if code < 0 else words[code]


def side_text(side):
    return "BUY" if side > 0 else "SELL" if side < 0 else ""


def csv(header, lines):
    return "".join(",".join(line) + "\n" for line in [header, *lines]).encode()


def plain_orders(orders, tick, lot):
    def line(row):
        us, order_id, action, status, side, ticks, lots, left, active, expire, requested, effective, reject, cancel = (
            row
        )
        return [
            *(ms(us), str(order_id), word(ACTIONS, action), word(STATUSES, status), side_text(side)),
            *(f"{amount:.8f}" for amount in (ticks * tick, lots * lot, left * lot)),
            *(ms(instant) for instant in (active, expire, requested, effective)),
            *(word(REJECT_REASONS, reject), word(CANCEL_REASONS, cancel)),
            *(us_text(instant) for instant in (us, active, effective, expire)),
        ]

    return csv(ORDER_FILE, map(line, orders.tolist()))


def plain_fills(fills, tick, lot, reasons):
    def line(row):
        us, order_id, side, ticks, lots, fee, reason, mid2, inventory = row
        mid = f"{mid2 * tick / 2:.{places(tick / 2)}f}" if mid2 else ""
        return [
            *(ms(us), str(order_id), side_text(side), f"{ticks * tick:.8f}", f"{lots * lot:.8f}", f"{fee * E8:.8f}"),
            *(word(reasons, reason), us_text(us), mid, f"{inventory * lot:.8f}"),
        ]

    return csv(FILL_FILE, map(line, fills.tolist()))


def plain_state(state, tick, lot, start):
    def line(row):
        us, inventory, cash_tl, fees, mid2, open_orders = row
        mid, held = mid2 * tick / 2, inventory * lot
        cash = start + cash_tl * tick * lot - fees * E8
        fine = places(tick * lot / 2)
        marks = [f"{mid:.{places(tick / 2)}f}", f"{held * mid:.{fine}f}", f"{cash + held * mid:.{fine}f}"]
        mid_text, value, equity = marks if mid2 else ["", "", ""]
        cash_text = f"{cash:.{places(tick * lot)}f}"
        return [ms(us), f"{held:.8f}", cash_text, mid_text, value, str(open_orders), us_text(us), equity]

    return csv(STATE_FILE, map(line, state.tolist()))


def written_bytes(pieces, columns):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, pieces, columns)
        return path.read_bytes()


def state_bytes(pieces, grid, start_e8):
    return written_bytes(pieces, state_columns(run_terms(grid, initial_cash_e8=start_e8)))


def assert_tables(orders, fills, state, reasons, grid, start_e8):
    """Compare every written table with the plain implementation."""
    with localcontext(WIDE):
        tick, lot, start = grid.tick_e8 * E8, grid.lot_e8 * E8, start_e8 * E8
        assert written_bytes([orders], order_columns(grid)) == plain_orders(orders, tick, lot)
        assert written_bytes([fills], fill_columns(grid, reasons)) == plain_fills(fills, tick, lot, reasons)
        assert state_bytes([state[:1], state[1:]], grid, start_e8) == plain_state(state, tick, lot, start)


@settings(max_examples=25, deadline=None)
@given(scribes(), st.integers(0, 10**15))
def test_tables_of_a_run_equal_decimal_output(scribe, start_e8):
    """No column of a real run passes through a float or loses a digit."""
    journal = scribe.journal()
    assert_tables(journal.orders, journal.fills, journal.state, journal.fill_reasons, scribe.instrument, start_e8)


INSTANT = st.one_of(
    st.just(-1), st.integers(0, 10**4), st.sampled_from([10**15 - 1, 10**15, 10**16 - 1, 10**16]), st.integers(0, 2**62)
)
BEGUN = INSTANT.map(lambda us: max(us, 0))
COUNT = st.integers(-(2**62), 2**62)
SIDE = st.sampled_from([-1, 0, 1])


def code(words):
    return st.integers(-1, len(words) - 1)


def table(*columns):
    rows = st.lists(st.tuples(*columns), max_size=4)
    return rows.map(lambda rows: np.array(rows, dtype=np.int64).reshape(len(rows), len(columns)))


REASONS = ("trade_cross:trade", "queue:book", "a reason with a long name " * 30)
ORDERS = table(
    *(BEGUN, COUNT, code(ACTIONS), code(STATUSES), SIDE, COUNT, COUNT, COUNT),
    *(INSTANT, INSTANT, INSTANT, INSTANT, code(REJECT_REASONS), code(CANCEL_REASONS)),
)
FILLS = table(BEGUN, COUNT, SIDE, COUNT, COUNT, COUNT, code(REASONS), st.integers(0, 2**62), COUNT)
STATE = table(BEGUN, st.integers(-(2**30), 2**30), COUNT, COUNT, st.integers(0, 2**30), COUNT)


@settings(max_examples=40, deadline=None)
@given(ORDERS, FILLS, STATE, st.integers(1, 10**9), st.integers(1, 10**9), st.integers(-(10**17), 10**17))
def test_tables_of_any_integers_equal_decimal_output(orders, fills, state, tick_e8, lot_e8, start_e8):
    """Including signs, empty fields and amounts far beyond 64 bits."""
    assert_tables(orders, fills, state, REASONS, Instrument("ANY", tick_e8, lot_e8), start_e8)


def test_long_tables_are_written_whole():
    """One header, and every row once, in several chunks of text and several pieces of a table."""
    journal = seeded(500, fill_chance=0.3).journal()
    columns, orders = order_columns(BTCUSDT), np.tile(journal.orders, (20, 1))
    text = written_bytes([orders, orders[:0], orders[:7]], columns)
    with localcontext(WIDE):
        again = plain_orders(journal.orders, BTCUSDT.tick_e8 * E8, BTCUSDT.lot_e8 * E8).splitlines(keepends=True)
    assert len(text) > 2 << 20
    assert text == b"".join([again[0], *again[1:] * 20, *again[1:8]])


def test_amounts_beyond_128_bits_are_refused(tmp_path):
    """No digit is lost in silence."""
    state = np.array([[0, 2**62, 0, 0, 2**62, 0]])
    columns = state_columns(run_terms(Instrument("WIDE", 10**9, 10**9), initial_cash_e8=0))
    with pytest.raises(MMError, match="128 bits"):
        write_table(tmp_path / "state.csv", [state], columns)
    state[:, 1:5:3] = 2**20
    assert write_table(tmp_path / "state.csv", [state], columns)[1] == 1


def test_code_without_a_name_is_refused(tmp_path):
    """An engine of another version must not write another word."""
    orders = seeded(5).journal().orders.copy()
    orders[-1, 2] = len(ACTIONS)
    with pytest.raises(MMError, match="without a name"):
        write_table(tmp_path / "orders.csv", [orders], order_columns(BTCUSDT))


def test_ordinary_units_are_written_with_eight_places():
    """A tick of 0.01 and a lot of 0.00001 need no more than the exchange's own places."""
    scribe = Scribe()
    scribe.move(17_400_001)
    scribe.fill(scribe.place(1, 8_700_000, 100), 1, 8_700_000, 100)
    text = state_bytes([scribe.journal().state], BTCUSDT, 10**11)
    assert text.decode().splitlines()[1] == (
        "1765868400000,0.00100000,912.91300000,87000.00500000,87.00000500,1,1765868400000000,999.91300500"
    )


def test_mid_of_half_ticks_gets_a_ninth_place():
    """When the tick is the last of eight places, the mid has nine."""
    scribe = Scribe()
    scribe.move(3)
    scribe.state()
    text = state_bytes([scribe.journal().state], Instrument("FINE", 1, 10**8), 0)
    assert text.decode().splitlines()[1].split(",")[3] == "0.000000015"


def test_skipped_order_has_no_id_and_no_active_times():
    """An order that was not placed never rests and is never cancelled."""
    scribe = Scribe()
    scribe.skip(1, 8_700_000, 100)
    text = written_bytes([scribe.journal().orders], order_columns(BTCUSDT))
    assert text.decode().splitlines()[1] == (
        "1765868400000,0,SKIP,REJECTED,BUY,87000.00000000,0.00100000,0.00100000,,,,,insufficient_cash,,"
        "1765868400000000,,,"
    )
