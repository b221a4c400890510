"""Imagined orders on a simulated day: the log, the tape, and models that see the one or the other."""

import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bitstamp import log_rows
from leaning_market import GRID

from mm.backtest.io import load_day
from mm.backtest.models import queue_prob_power, queue_risk_averse, trade_cross
from mm.clock import US_PER_MS
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, UsageError
from mm.evaluate.order_log import read_rows, rows_of, tape_of_log
from mm.evaluate.queue_score import score, study
from mm.evaluate.virtual_orders import OrderPlan, Outcomes, draw_orders, on_exchange_time, play
from mm.sim.flow.day import make_day, order_log
from mm.sim.flow.scenario import ZeroIntelligence
from mm.sim.flow.session import Session
from mm.sim.matching.order_log import COLUMNS, read_log
from mm.tape.tape import DEPTH, TRADE, Tape
from plain_matching import write_log
from support import SHARED

RECORDED = SHARED / "data" / "bitstamp-btcusd-20150501-l3" / "2015-05-01.log.bz2"
HEADER = ",".join(COLUMNS).encode() + b"\n"
PLAN = OrderPlan(life_us=15_000_000, checks_us=(2_500_000, 10_000_000), passes=16)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> DayFolder:
    """Six minutes of a market with queues."""
    folder = DayFolder(tmp_path_factory.mktemp("data"), "ZIUSDT", "20260105")
    make_day(folder, ZeroIntelligence(), Session("ZIUSDT", "20260105", 0.1, 3))
    return folder


@pytest.fixture(scope="module")
def tape(day: DayFolder) -> Tape:
    """Its tape."""
    return load_day(day.path, cache=None)


class Knowing:
    """A fill model that was told the truth, and waits for the tape to show an event of that instant."""

    def __init__(self, orders: Any, truth: Outcomes) -> None:
        ends = truth.filled_us.tolist()
        keys = zip(orders.us.tolist(), orders.side.tolist(), orders.ticks.tolist(), strict=True)
        self.ends = dict(zip(keys, ends, strict=True))

    def due(self, order: Any, us: int) -> int:
        """Return the order's lots once its true fill has come."""
        end = self.ends[order.live_us, order.side, order.ticks]
        return order.lots if 0 <= end <= us else 0

    def on_trade(self, order: Any, trade: Any) -> int:
        """Answer by the clock."""
        return self.due(order, trade.us)

    def on_book(self, order: Any, book: Any, elapsed_us: int) -> int:
        """Likewise."""
        return self.due(order, book.us)


def test_a_model_that_knows_every_order_scores_next_to_nothing_on_the_tape(day: DayFolder, tape: Tape) -> None:
    """Log and tape have one clock: fills by trades come at their own µs, others with the next depth message."""
    orders, truth, played = study(tape, order_log(day), PLAN, {"none": lambda: trade_cross(strict=True)})
    model = play(on_exchange_time(tape, _trade_us(day)), orders, lambda: Knowing(orders, truth))
    got = score(orders, truth, model)
    assert got.invented == 0
    assert got.missed <= 1  # one that fills in the last 100 ms of its life is not shown in time
    late = (model.filled_us - truth.filled_us)[(model.filled_us >= 0) & (truth.filled_us >= 0)]
    assert late.min() == 0
    assert late.max() <= 100 * US_PER_MS
    assert (late == 0).mean() > 0.5
    assert score(orders, truth, played["none"]).missed > 20, "another model is not as good"


def _trade_us(day: DayFolder) -> dict[int, int]:
    return {row.trade_id: row.us for row in read_rows(order_log(day)) if row.trade_id}


def test_the_uniform_market_likes_exponent_one(day: DayFolder, tape: Tape) -> None:
    """Its fills and places are nearly the true ones; to believe no cancellation is late, to believe all is early."""
    orders, truth, played = study(
        tape,
        order_log(day),
        PLAN,
        {"one": lambda: queue_prob_power(exponent=1.0), "none": queue_risk_averse, "early": trade_cross},
    )
    one, none, early = (score(orders, truth, played[name]) for name in ("one", "none", "early"))
    assert one.orders > 150
    assert abs(one.ahead_bias.value) < 0.02 < none.ahead_bias.value
    assert one.wrong.value < 0.02
    assert none.missed > 0 == none.invented
    assert early.invented > 0 == early.missed
    assert early.time_bias_s.value < -2 * early.time_bias_s.error
    assert none.time_bias_s.value > 2 * none.time_bias_s.error


def test_orders_of_one_pass_and_side_are_never_alive_at_once(tape: Tape) -> None:
    """None takes another's print, and all end before the tape."""
    orders = draw_orders(tape, PLAN)
    assert set(orders.place.tolist()) == {-1, 0, 1, 2}
    for turn in range(PLAN.passes):
        for side in (1, -1):
            us = orders.us[(orders.turn == turn) & (orders.side == side)]
            assert len(us) > 5
            assert np.diff(us).min() >= PLAN.life_us
    assert orders.us.max() + PLAN.life_us <= tape.end_us
    assert (np.diff(orders.us) >= 0).all()


def test_no_order_lives_across_a_break_of_the_book() -> None:
    """At a break of the book its outcome is unknown."""
    book = ([(100, 5)], [(103, 5)])
    events = [(0, "snapshot", *book), (50_000_000, "gap"), (51_000_000, "snapshot", *book)]
    events.append((99_000_000, "depth", [(100, 6)], []))
    orders = draw_orders(Tape.of(GRID, events), PLAN)
    assert len(orders) > 10
    assert not ((orders.us < 51_000_000) & (orders.us + PLAN.life_us >= 50_000_000)).any()


def test_the_tape_moves_to_the_clock_of_the_exchange(day: DayFolder, tape: Tape) -> None:
    """Prints happen at the log's µs, depth messages at their stamps, and the order of events stays."""
    trade_us = _trade_us(day)
    moved = on_exchange_time(tape, trade_us)
    assert moved.event_us[moved.trades].tolist() == [trade_us[one] for one in tape.event_id[tape.trades].tolist()]
    depth = tape.kind == DEPTH
    assert (moved.event_us[depth] == tape.event_exch_us[depth]).all()
    assert (moved.kind == tape.kind).all()
    assert (moved.event_us <= tape.event_us).all()


def test_the_tape_of_a_log_is_the_recorded_one(day: DayFolder, tape: Tape) -> None:
    """Behind the opening the same prints and the same changes of the book stand in both."""
    made = tape_of_log(order_log(day))
    recorded = on_exchange_time(tape, _trade_us(day))
    for kind in (TRADE, DEPTH):
        one, other = (np.flatnonzero(each.kind == kind) for each in (made, recorded))
        one = one[-len(other) :]
        assert (made.event_us[one] == recorded.event_us[other]).all()
        assert (made.event_id[one] == recorded.event_id[other]).all()
        assert [made.rows(int(event)) for event in one[:50]] == [recorded.rows(int(event)) for event in other[:50]]


def test_the_rows_that_are_read_are_those_of_the_log(day: DayFolder) -> None:
    """The quick reader drops what changes nothing, and nothing else."""
    pairs = zip(read_rows(order_log(day)), rows_of(read_log(order_log(day))), strict=False)
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
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    """One line names the file, and the problem."""
    path = tmp_path / "log.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=f"{path}: not an order log"):
        list(read_rows(path))


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded orders in ../shared")
def test_on_recorded_orders_the_queue_models_are_right_and_the_others_are_not(tmp_path: Path) -> None:
    """Real arrivals and cancellations: at the touch `trade_cross` invents fills, behind a queue of an order or two."""
    log = tmp_path / "order_log.csv.gz"
    write_log(log, log_rows(RECORDED, 25_000))
    models = {"queue": lambda: queue_prob_power(exponent=1.0), "trade": trade_cross}
    orders, truth, played = study(tape_of_log(log), log, OrderPlan(60_000_000, (0, 15_000_000), 8), models)
    queue, trade = (score(orders, truth, played[name]) for name in ("queue", "trade"))
    assert queue.orders > 1000
    assert queue.wrong.value < 0.005
    assert trade.wrong.value > 0.02
    assert trade.invented > 10 * queue.invented


def test_a_day_without_room_for_an_order_is_refused(day: DayFolder, tape: Tape) -> None:
    """A life longer than the day."""
    with pytest.raises(UsageError, match="give a shorter --life-s"):
        study(tape, order_log(day), OrderPlan(3_600_000_000, (0,), 1), {})
