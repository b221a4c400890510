"""Each way to play a day is played as named, with the peer's same settings for comparison."""

import pytest

from benchmarks import play_models
from benchmarks.play_models import PLAYS
from benchmarks.turns import NEAR_K, Bench, recorded
from benchmarks.yardstick import MARKET
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.session import Session


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is measured on a simulated day of some minutes, without a peer."""
    folder = tmp_path_factory.mktemp("models")
    day = DayFolder(folder / "data", "SIMUSDT", "20260105")
    make_day(day, MARKET, Session(day.symbol, day.day, 0.05, 7))
    return play_models.measure(Bench(recorded(day.path), folder, turns=1, k=NEAR_K))


def test_every_play_has_a_row_and_its_work(found):
    """Seconds by the clock and of user time, orders and fills; making what is kept has rows of its own."""
    names = [row.name for row in found.rows]
    assert names[:-2] == [one.name for one in PLAYS]
    assert len(set(names)) == len(names)
    assert all(row.ours[0] > 0 and len(row.user) == 1 for row in found.rows)
    assert all(found.facts[one.name]["orders, mm"] > 100 for one in PLAYS)
    assert found.facts["bytes"]["best prices"] > 1_000
    assert found.facts["bytes"]["index"] > 1_000


def test_the_whole_book_and_best_prices_do_the_same_work(found):
    """What they are compared for; a recorded feed, latencies and quotes at the touch are other work."""
    facts = found.facts
    assert facts["trade_cross, whole book"] == facts["trade_cross"]
    for other in ("trade_cross, at the touch", "trade_cross, recorded feed", "trade_cross, latency by rate"):
        assert facts[other] != facts["trade_cross"]


def test_the_peer_plays_the_same_queue_and_quotes():
    """A model of best prices alone is compared with its usual one."""
    flags = {one.name: one.peer for one in PLAYS}
    assert flags["queue_prob_log, at the touch"] == ("--queue", "log", "--touch")
    assert flags["queue_risk_averse"] == ("--queue", "risk")
    assert flags["trade_cross, recorded feed"] == ("--queue", "power")
