"""Virtual orders on a simulated day: log, tape, and models that use either."""

import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bitstamp import log_rows
from leaning_market import GRID
from queue_rig import rows_of, study

from log_book import read_log, write_order_log
from mm import DayFolder, Tape, load_day
from mm.backtest.models import queue_prob_power, queue_risk_averse, trade_cross
from mm.clock import US_PER_MS
from mm.errors import BrokenFile, UsageError
from mm.probes.log_tape import tape_of_log
from mm.probes.queue_score import score
from mm.probes.virtual_orders import OrderPlan, Outcomes, draw_orders, on_exchange_time, play
from mm.sim.matching.order_log import COLUMNS
from mm.tape.tape import DEPTH, TRADE
from order_truth import read_rows
from simulation import simulate_day
from support import SHARED

RECORDED = SHARED / "data" / "bitstamp-btcusd-20150501-l3" / "2015-05-01.log.bz2"
HEADER = ",".join(COLUMNS).encode() + b"\n"
PLAN = OrderPlan(life_us=15_000_000, checks_us=(2_500_000, 10_000_000), passes=16)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> DayFolder:
    """Return six minutes of a market with queues."""
    return simulate_day(tmp_path_factory.mktemp("data"), "zero_intelligence", hours=0.1, seed=3, symbol="ZIUSDT")


@pytest.fixture(scope="module")
def tape(day: DayFolder) -> Tape:
    """Return the tape of the day."""
    return load_day(day.path, cache=None)


class TrueOutcomeFills:
    """A fill model with the true outcomes that waits until the tape has an event of that instant."""

    def __init__(self, orders: Any, truth: Outcomes) -> None:
        ends = truth.filled_us.tolist()
        keys = zip(orders.us.tolist(), orders.side.tolist(), orders.ticks.tolist(), strict=True)
        self.ends = dict(zip(keys, ends, strict=True))

    def due(self, order: Any, us: int) -> int:
        """Return the order's lots after its true fill."""
        end = self.ends[order.live_us, order.side, order.ticks]
        return order.lots if 0 <= end <= us else 0

    def on_trade(self, order: Any, trade: Any) -> int:
        """Fill by the time of the trade."""
        return self.due(order, trade.us)

    def on_book(self, order: Any, book: Any, elapsed_us: int) -> int:
        """Fill by the time of the book change."""
        return self.due(order, book.us)


@pytest.mark.slow
def test_model_with_true_outcomes_scores_nearly_zero(day: DayFolder, tape: Tape) -> None:
    """Log and tape have one clock: fills by trades match to the µs, others at the next depth message."""
    orders, truth, played = study(tape, day.order_log, PLAN, {"none": lambda: trade_cross(strict=True)})
    model = play(on_exchange_time(tape, _trade_us(day)), orders, lambda: TrueOutcomeFills(orders, truth))
    result = score(orders, truth, model)
    assert result.invented == 0
    assert result.missed <= 1  # a fill in the last 100 ms of a life appears too late
    delays_us = (model.filled_us - truth.filled_us)[(model.filled_us >= 0) & (truth.filled_us >= 0)]
    assert delays_us.min() == 0
    assert delays_us.max() <= 100 * US_PER_MS
    assert (delays_us == 0).mean() > 0.5
    assert score(orders, truth, played["none"]).missed > 20, "another model is not as good"


def _trade_us(day: DayFolder) -> dict[int, int]:
    return {row.trade_id: row.us for row in read_rows(day.order_log) if row.trade_id}


@pytest.mark.slow
def test_exponent_one_fits_uniform_cancellations(day: DayFolder, tape: Tape) -> None:
    """Nearly true fills and places; assuming no cancellations ahead is late, assuming all is early."""
    orders, truth, played = study(
        tape,
        day.order_log,
        PLAN,
        {"one": lambda: queue_prob_power(exponent=1.0), "none": queue_risk_averse, "early": trade_cross},
    )
    one, none, early = (score(orders, truth, played[name]) for name in ("one", "none", "early"))
    assert one.orders > 150
    assert abs(one.ahead_bias.value) < 0.02 < none.ahead_bias.value
    assert one.wrong.value < 0.02
    assert none.missed > 0 == none.invented
    assert early.invented > 0 == early.missed
    assert early.time_bias_s.value < 0 < none.time_bias_s.value


def test_orders_of_one_pass_and_side_do_not_overlap(tape: Tape) -> None:
    """Orders do not take each other's prints, and all end before the tape."""
    orders = draw_orders(tape, PLAN)
    assert set(orders.place.tolist()) == {-1, 0, 1, 2}
    for turn in range(PLAN.passes):
        for side in (1, -1):
            us = orders.us[(orders.turn == turn) & (orders.side == side)]
            assert len(us) > 5
            assert np.diff(us).min() >= PLAN.life_us
    assert orders.us.max() + PLAN.life_us <= tape.end_us
    assert (np.diff(orders.us) >= 0).all()


def test_no_order_lives_across_gap() -> None:
    """The outcome at a gap is unknown."""
    book = ([(100, 5)], [(103, 5)])
    events = [(0, "snapshot", *book), (50_000_000, "gap"), (51_000_000, "snapshot", *book)]
    events.append((99_000_000, "depth", [(100, 6)], []))
    orders = draw_orders(Tape.of(GRID, events), PLAN)
    assert len(orders) > 10
    assert not ((orders.us < 51_000_000) & (orders.us + PLAN.life_us >= 50_000_000)).any()


def test_on_exchange_time_moves_tape_to_exchange_clock(day: DayFolder, tape: Tape) -> None:
    """Prints at the log's µs, depth messages at their stamps, with the same order of events."""
    trade_us = _trade_us(day)
    moved = on_exchange_time(tape, trade_us)
    assert moved.event_us[moved.trades].tolist() == [trade_us[one] for one in tape.event_id[tape.trades].tolist()]
    depth = tape.kind == DEPTH
    assert (moved.event_us[depth] == tape.event_exch_us[depth]).all()
    assert (moved.kind == tape.kind).all()
    assert (moved.event_us <= tape.event_us).all()


@pytest.mark.slow
def test_tape_of_log_equals_recorded_tape(day: DayFolder, tape: Tape) -> None:
    """After the opening both have the same prints and book changes."""
    from_log = tape_of_log(day.order_log)
    recorded = on_exchange_time(tape, _trade_us(day))
    for kind in (TRADE, DEPTH):
        one, other = (np.flatnonzero(each.kind == kind) for each in (from_log, recorded))
        one = one[-len(other) :]
        assert (from_log.event_us[one] == recorded.event_us[other]).all()
        assert (from_log.event_id[one] == recorded.event_id[other]).all()
        assert [from_log.rows(int(event)) for event in one[:50]] == [recorded.rows(int(event)) for event in other[:50]]


@pytest.mark.slow
def test_read_rows_equal_log(day: DayFolder) -> None:
    """The fast reader drops only rows that change nothing."""
    pairs = zip(read_rows(day.order_log), rows_of(read_log(day.order_log)), strict=False)
    assert all(one == other for one, other in islice(pairs, 100_000))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        gzip.compress(b"us,kind\n1,2\n"),
        gzip.compress(HEADER + b"1,2,3,4,5,6,7,8,9\n"),
        gzip.compress(HEADER + b"1,2,3,4,5,6,7,8,9,ten\n"),
        gzip.compress(HEADER + b"1,3,3,4,5,1,7,8,9,10\n")[:-9],
        b"no gzip at all",
    ],
    ids=["empty", "header", "short", "word", "torn", "packing"],
)
def test_file_that_is_not_a_log_is_rejected(tmp_path: Path, content: bytes) -> None:
    """One line names the file and the problem."""
    path = tmp_path / "log.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=f"{path}: not an order log"):
        list(read_rows(path))


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded orders in ../shared")
def test_queue_model_beats_trade_cross_on_recorded_orders(tmp_path: Path) -> None:
    """Real arrivals and cancellations: at the touch `trade_cross` invents fills behind short queues."""
    log = tmp_path / "order_log.parquet"
    write_order_log(log, log_rows(RECORDED, 25_000))
    models = {"queue": lambda: queue_prob_power(exponent=1.0), "trade": trade_cross}
    orders, truth, played = study(tape_of_log(log), log, OrderPlan(60_000_000, (0, 15_000_000), 8), models)
    queue, trade = (score(orders, truth, played[name]) for name in ("queue", "trade"))
    assert queue.orders > 1000
    assert queue.wrong.value < 0.005
    assert trade.wrong.value > 0.02
    assert trade.invented > 10 * queue.invented


def test_life_longer_than_day_is_rejected(day: DayFolder, tape: Tape) -> None:
    """The message advises a shorter life."""
    with pytest.raises(UsageError, match="give a shorter queue_life_s"):
        study(tape, day.order_log, OrderPlan(3_600_000_000, (0,), 1), {})
