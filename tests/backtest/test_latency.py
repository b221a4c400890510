"""Latencies drawn from a file of measured latencies."""

import numpy as np
import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, Want, depth

from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.latency import Latencies
from mm.errors import BrokenFile


class Walk:
    """Quote another bid at every requote, so that each requote sends an order and a cancel."""

    def __init__(self):
        self.calls = 0

    def quote(self, _view):
        self.calls += 1
        return Quotes(90 + self.calls % 2, None, 1, None)


def messages(latencies, *, events=(), seed=0, requotes=200, every_us=10_000):
    """Return send and arrival times of orders and cancels, in µs, by order id."""
    end = (BEGIN_US + requotes * every_us, "depth", [(98, 1)], [])
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", BIDS, ASKS), *events, end])
    rules = Rules(
        TEST.tick_e8, TEST.lot_e8, requote_us=every_us, enforce_balances=False, latencies=latencies, latency_seed=seed
    )
    exchange = PaperExchange(Walk(), TradeCross(), rules)
    exchange.run(tape)
    rows = exchange.journal().orders.tolist()
    placed = {row[1]: (row[0], row[8]) for row in rows if row[2] == 0}
    cancels = {row[1]: (row[10], row[11]) for row in rows if row[2] == 1}
    return placed, cancels


def ms(*values):
    return np.array(values, dtype=np.float64)


def test_single_measurement_is_a_constant():
    """Orders take 7 ms, cancels 3 ms."""
    placed, cancels = messages(Latencies.of(ms(7), ms(3)))
    assert {arrived - sent for sent, arrived in placed.values()} == {7_000}
    assert {done - sent for sent, done in cancels.values()} == {3_000}


def test_cancels_take_as_long_as_orders_without_cancel_column():
    """The file has order_ms only."""
    _, cancels = messages(Latencies.of(ms(7)))
    assert {done - sent for sent, done in cancels.values()} == {7_000}


def test_draws_are_uniform_over_the_file_and_repeat_per_seed():
    """Each of four values about a quarter of the time; equal for one seed, different for another."""
    file = Latencies.of(ms(1, 2, 3, 4), ms(1, 1, 1, 1))
    one, _ = messages(file, requotes=2_000)
    again, _ = messages(file, requotes=2_000)
    other, _ = messages(file, seed=1, requotes=2_000)
    counts = np.bincount([(arrived - sent) // 1_000 for sent, arrived in one.values()], minlength=5)
    assert counts[0] == 0
    assert (abs(counts[1:] - 500) < 4 * np.sqrt(2_000 * 3 / 16)).all()
    assert one == again
    assert one != other


def test_messages_of_one_kind_never_overtake_each_other():
    """With latencies of 0 to 50 ms and a requote every 10 ms, arrivals and cancels rise with the order id."""
    placed, cancels = messages(Latencies.of(ms(0, 1, 20, 50), ms(0, 5, 50)[[0, 1, 2, 0]]))
    arrivals = [placed[number][1] for number in sorted(placed)]
    effective = [cancels[number][1] for number in sorted(cancels)]
    assert arrivals == sorted(arrivals)
    assert effective == sorted(effective)
    assert all(cancels[number][1] >= placed[number][1] for number in cancels)


def test_latency_follows_the_message_rate():
    """Measured: 1 ms while quiet, 30 ms at 500 messages per second. One quiet second, then one of 500 messages."""
    file = Latencies.of(ms(*[1] * 50, *[30] * 50), None, ms(*[1] * 50, *[500] * 50))
    busy = [(BEGIN_US + 1_000_000 + i * 2_000, "depth", [(97, 1 + i % 2)], []) for i in range(500)]
    placed, _ = messages(file, events=busy, requotes=200)
    quiet = {arrived - sent for sent, arrived in placed.values() if sent < BEGIN_US + 1_000_000}
    late = {arrived - sent for sent, arrived in placed.values() if sent > BEGIN_US + 1_900_000}
    assert quiet == {1_000}
    assert late == {30_000}


def test_reader_sorts_rows_by_value():
    """Rows may be in any order."""
    file = Latencies.of(ms(3, 1, 2), ms(30, 10, 20), ms(9, 7, 8))
    assert file.order_us.tolist() == [1_000, 2_000, 3_000]
    assert file.cancel_us.tolist() == [10_000, 20_000, 30_000]
    assert file.rate_per_s is not None
    assert file.rate_per_s.tolist() == [7, 8, 9]


def test_file_with_extra_columns_is_read(tmp_path):
    """Columns in any order, unknown ones ignored, fractions of a ms kept to the µs."""
    path = tmp_path / "latency.csv"
    path.write_text("note,rate_per_s,order_ms\nx,2,0.0125\ny,1,3\n", encoding="utf-8")
    file = Latencies.read(path)
    assert file.order_us.tolist() == [3_000, 12]
    assert file.cancel_us.tolist() == [3_000, 12]


def test_byte_order_mark_is_not_part_of_a_column_name(tmp_path):
    """Spreadsheets write one; otherwise the first column would not be found."""
    path = tmp_path / "latency.csv"
    path.write_text("order_ms\n3\n", encoding="utf-8-sig")
    assert Latencies.read(path).order_us.tolist() == [3_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column order_ms is missing"),
        ("cancel_ms\n1\n", "column order_ms is missing"),
        ("order_ms\n", "no rows"),
        ("order_ms\n-1\n", ":2: order_ms is '-1'"),
        ("order_ms,cancel_ms\n1,2\n1,fast\n", ":3: cancel_ms is 'fast'"),
        ("order_ms\nnan\n", ":2: order_ms is 'nan'"),
        ("order_ms,rate_per_s\n1\n", ":2: rate_per_s is missing"),
        ("order_ms\n1e99\n", "from 0 to"),
    ],
)
def test_invalid_latency_file_raises_broken_file(tmp_path, text, message):
    """The message contains file, line, value, and what is allowed."""
    path = tmp_path / "latency.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BrokenFile, match="latency") as error:
        Latencies.read(path)
    assert message in str(error.value)


def test_missing_latency_file_raises_broken_file(tmp_path):
    """The message describes the required file."""
    with pytest.raises(BrokenFile, match="give a CSV file of measured latencies"):
        Latencies.read(tmp_path / "none.csv")


def test_constant_latencies_apply_without_a_file():
    """The two numbers of the rules are used."""
    tape = Tape.of(TEST, [(BEGIN_US, "snapshot", BIDS, ASKS), (BEGIN_US + 90_000, *depth(0, bids=[(98, 1)])[1:])])
    exchange = PaperExchange(Want(100), TradeCross(), Rules(TEST.tick_e8, TEST.lot_e8, enforce_balances=False))
    exchange.run(tape)
    assert exchange.journal().orders[0, 8] == BEGIN_US + 50_000


def test_scaled_latencies_are_rounded_to_the_nearest_microsecond():
    """Of 1, 2 and 3 µs half as much again is 1.5, 3 and 4.5: halves to even, the rest to the nearest."""
    scaled = Latencies.of(np.array([0.001, 0.002, 0.003])).times(1.5)
    assert scaled.order_us.tolist() == scaled.cancel_us.tolist() == [2, 3, 4]
    assert Latencies.of(np.array([0.003])).times(0.9).order_us.tolist() == [3]
