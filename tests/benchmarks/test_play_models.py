"""Each variant of playing a day has the named settings, and the peer has the same for comparison."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import grids, play_models
from benchmarks.play_models import PLAYS
from benchmarks.turns import NEAR_K, Bench, recorded
from benchmarks.yardstick import MARKET
from mm import DayFolder, load_day
from mm.sim.flow.day import make_day
from mm.sim.flow.session import Session

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A simulated day of some minutes."""
    day = DayFolder(tmp_path_factory.mktemp("models") / "data", "SIMUSDT", "20260105")
    make_day(day, MARKET, Session(day.symbol, day.day, 0.05, 7))
    return day


@pytest.fixture(scope="module")
def measured(day):
    """The measurement of the day, without a peer."""
    return play_models.measure(Bench(recorded(day.path), day.root.parent, turns=1, k=NEAR_K))


def test_each_play_has_a_row_and_counts_of_its_work(measured):
    """Rows have wall and user time, facts have orders and fills; creating the cached files has separate rows."""
    names = [row.name for row in measured.rows]
    assert names[: len(PLAYS)] == [play.name for play in PLAYS]
    assert len(set(names)) == len(names)
    assert all(row.ours[0] > 0 and len(row.user) == 1 for row in measured.rows)
    assert all(measured.facts[play.name]["orders, mm"] > 100 for play in PLAYS)
    assert measured.facts["bytes"]["index"] > 1_000


def test_whole_book_and_best_prices_give_same_orders_and_fills(measured):
    """The whole book changes no orders or fills; a recorded feed, latencies and quotes at the touch do."""
    facts = measured.facts
    assert facts["trade_cross, whole book"] == facts["trade_cross"]
    for other in ("trade_cross, at the touch", "trade_cross, recorded feed", "trade_cross, latency by rate"):
        assert facts[other] != facts["trade_cross"]


def test_grids_of_yardstick_know_no_exchange_times(day):
    """The peer plays its copy in order of receipt, so equal fills need the same; a recorded day is another play."""
    tape = load_day(day.path)
    late = replace(tape, event_exch_us=np.maximum(tape.event_exch_us - 20_000 * (np.arange(len(tape)) % 7), 1))
    plays = {}
    for feed in ("none", "recorded"):
        rules = grids.rules_of(tape, None, feed)
        plays[feed] = [grids.played(of, "grid", "ours", rules, {"delta_ticks": 1.0}).fills for of in (tape, late)]
    assert len(plays["none"][0]) > 50
    assert np.array_equal(*plays["none"])
    assert not np.array_equal(*plays["recorded"])
