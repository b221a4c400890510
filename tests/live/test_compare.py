"""Comparison of runs: numbers from small files with results counted by hand."""

import json
import re

import pytest

from mm import RunFolder
from mm.clock import iso
from mm.errors import BrokenFile, Mismatch, UsageError
from mm.live.pages.compare import compare_runs, figures_of, read_run

SECOND = 1_000_000
BEGIN = 1_767_600_000 * SECOND
ORDERS = "order_id,action,side,price,qty,recv_us,active_recv_us,reject_reason"
FILLS = "recv_us,side,price,qty,fee,mid"
STATE = "recv_us,mid,equity,inventory"
TICK = 0.5


def at(seconds):
    return BEGIN + round(seconds * SECOND)


class Files:
    """The files of one run, row by row; prices are whole numbers, two ticks each."""

    def __init__(self, kind="backtest", run_id="one", symbol="SIMUSDT", seconds=100):
        self.kind, self.run_id, self.symbol = kind, run_id, symbol
        self.orders, self.fills, self.decisions = [], [], None
        self.state = [f"{at(s)},{100 + s // 10},{1_000 + s},0" for s in range(seconds + 1)]
        self.ids, self.target = 0, 0

    def order(self, side, price, begin, end, ack_s=0.05, cancel_s=0.025):
        """Add an order that is sent at *begin* and whose cancel is sent at *end*."""
        self.ids += 1
        rows = [("PLACE", begin, ""), ("CANCEL_REQ", end, ""), ("CANCEL_ACK", end + cancel_s, "")]
        for action, s, reason in rows:
            self.orders.append((at(s), f"{self.ids},{action},{side},{price},1,{at(s)},{at(begin + ack_s)},{reason}"))

    def refused(self, side, s, reason):
        self.ids += 1
        for action, why in (("PLACE", ""), ("REJECT", reason)):
            self.orders.append((at(s), f"{self.ids},{action},{side},100,1,{at(s)},{at(s)},{why}"))

    def fill(self, side, price, s, mid, qty=1, fee=0.5):
        self.fills.append((at(s), f"{at(s)},{side},{price},{qty},{fee},{mid}"))

    def write(self, folder):
        folder.mkdir()
        tables = {
            "orders": (ORDERS, [row for _, row in sorted(self.orders)]),
            "fills": (FILLS, [row for _, row in sorted(self.fills)]),
            "state": (STATE, self.state),
        }
        if self.decisions is not None:
            tables["decisions"] = ("us,lag_us", [f"{at(s)},0" for s in self.decisions])
        for name, (head, rows) in tables.items():
            (folder / f"{name}_{self.symbol}.csv").write_text("\n".join([head, *rows]) + "\n")
        (folder / "summary.json").write_text(json.dumps({"tick_size": TICK, "target_inventory": self.target}))
        return RunFolder(folder, {"kind": self.kind, "run_id": self.run_id, "symbol": self.symbol})


@pytest.fixture
def both(tmp_path):
    """A replay that quotes 99 and 105, and a shadow that is a tick away for a while and misses a fill."""
    replay, shadow = Files(), Files("shadow", "two")
    replay.order("BUY", 99, 0, 100)
    replay.order("SELL", 105, 0, 50)
    replay.fill("BUY", 99, 20, mid=102)
    replay.fill("SELL", 105, 40, mid=104, qty=3)
    shadow.order("BUY", 99, 0, 60, ack_s=0.2)
    shadow.order("BUY", 98, 60, 100, ack_s=0.2)
    shadow.order("SELL", 105, 0, 50)
    shadow.refused("SELL", 55, "would_cross")
    shadow.fill("BUY", 101, 20.9, mid=102)
    shadow.fill("BUY", 99, 90, mid=109)
    shadow.decisions = [0, 10, 20]
    return read_run(replay.write(tmp_path / "a")), read_run(shadow.write(tmp_path / "b"))


def test_compare_runs_returns_numbers_of_each_run(both):
    found = compare_runs(both)
    replay, shadow = found.runs
    assert (found.begin_us, found.end_us) == (at(0), at(100))
    assert (replay.decisions, shadow.decisions) == (None, 3)
    assert (replay.placed, shadow.placed) == (2, 4)
    assert shadow.rejects == {"would_cross": 1}
    assert replay.fills == {"BUY": 1, "SELL": 1}
    assert (replay.quantity, replay.fill_ratio) == (4, 2.0)
    assert replay.half_spread_ticks == pytest.approx((1 * (102 - 99) + 3 * (105 - 104)) / 4 / TICK)
    assert replay.markout_ticks["30"] == pytest.approx((1 * (105 - 99) - 3 * (107 - 105)) / 4 / TICK)
    assert (replay.pnl, replay.fees) == (100, 1)
    assert replay.ack_ms == pytest.approx({"p50": 50, "p90": 50, "p99": 50})
    assert shadow.ack_ms["p50"] == pytest.approx(200)  # of 200, 200 and 50; the rejected order was never accepted
    assert replay.cancel_ms == pytest.approx({"p50": 25, "p90": 25, "p99": 25})
    assert replay.quoted_share["both"] == pytest.approx(0.5)  # seconds 1 to 50, of 100


def test_run_with_a_fee_of_unknown_value_has_no_net_result(tmp_path):
    trade = Files("trade", "t")
    trade.fill("BUY", 99, 20, mid=102)
    trade.fill("BUY", 99, 30, mid=102, fee="")
    run = read_run(trade.write(tmp_path / "t"))
    found = figures_of(run, (at(0), at(100)))
    assert (found.fees, found.pnl) == (None, None)


def test_order_without_an_acceptance_has_no_latency(tmp_path):
    """A rejected order, and one without an answer, stand in a trade's file as resting from after its end."""
    trade = Files("trade", "t", seconds=100)
    trade.order("BUY", 99, 0, 50, ack_s=0.02)
    trade.order("BUY", 98, 60, 99, ack_s=40.000001)
    trade.ids += 1
    for action, why in (("PLACE", ""), ("REJECT", "exchange_refused")):
        trade.orders.append((at(10), f"{trade.ids},{action},SELL,100,1,{at(10)},{at(100) + 1},{why}"))
    run = read_run(trade.write(tmp_path / "t"))
    assert figures_of(run, (at(0), at(100))).ack_ms == pytest.approx({"p50": 20, "p90": 20, "p99": 20})


def test_agreement_counts_equal_quotes_and_matched_fills(both):
    (one,) = compare_runs(both).agreement
    seconds_with_both_bids, seconds_with_both_asks = 98, 50  # bids from 1 to 99 but the second in which one is replaced
    equal = 60 + 50
    assert one.equal_quotes == pytest.approx(equal / (seconds_with_both_bids + seconds_with_both_asks), abs=0.01)
    assert one.quote_gap_ticks == pytest.approx(39 / TICK / (seconds_with_both_bids + seconds_with_both_asks), abs=0.01)
    assert (one.matched_fills, one.unmatched_fills, one.extra_fills) == (1, 1, 1)
    assert one.slippage_ticks == 2 / TICK  # bought at 101 for 99
    assert one.pnl_difference == 0


def test_only_common_time_span_is_compared(tmp_path):
    long, short = Files(seconds=100), Files("trade", "t", seconds=40)
    for files in (long, short):
        files.fill("BUY", 99, 20, mid=102)
    long.fill("BUY", 99, 80, mid=102)
    runs = [read_run(files.write(tmp_path / files.run_id)) for files in (long, short)]
    found = compare_runs(runs)
    assert found.end_us == at(40)
    assert [run.fills["BUY"] for run in found.runs] == [1, 1]
    assert [run.pnl for run in found.runs] == [40, 40]
    assert found.notes == ["backtest one covers more time: 40 % of it is compared"]


def test_fill_matches_at_most_one_other_fill(tmp_path):
    ours, theirs = Files(), Files("trade", "t")
    for s in (10, 10.2, 10.4):
        ours.fill("SELL", 105, s, mid=104)
    theirs.fill("SELL", 104, 10.3, mid=104)
    found = compare_runs([read_run(files.write(tmp_path / files.run_id)) for files in (ours, theirs)])
    assert (found.agreement[0].matched_fills, found.agreement[0].unmatched_fills) == (1, 2)
    assert found.agreement[0].slippage_ticks == 1 / TICK


def _notes_of(tmp_path, *runs):
    """Return the notes on runs, each with a feed and with the knobs of a trade that is played again, or none."""
    found = []
    for number, (kind, feed, again) in enumerate(runs):
        folder = Files(kind, str(number)).write(tmp_path / str(number))
        summary = json.loads((folder.folder / "summary.json").read_text()) | {"feed": {"kind": feed}}
        (folder.folder / "summary.json").write_text(json.dumps(summary))
        found.append(read_run(RunFolder(folder.folder, {**folder.manifest, "knobs": again})))
    return [one for one in compare_runs(found).notes if "feed" in one]


@pytest.mark.parametrize("fills", [True, False])
def test_feed_of_a_trade_that_is_played_again_is_the_trades(tmp_path, fills):
    """It acts at the trade's own instants, whatever a feed would be assumed for the day."""
    again = {"as_traded": {"value": "T1"}, "traded_fills": {"value": fills}}
    assert _notes_of(tmp_path, ("trade", "recorded", {}), ("backtest", "none", again)) == []


def test_feeds_that_differ_are_said_of_the_runs_that_have_one(tmp_path):
    again = {"as_traded": {"value": "T1"}, "traded_fills": {"value": True}}
    runs = ("trade", "recorded", {}), ("backtest", "none", again), ("backtest", "none", {})
    (note,) = _notes_of(tmp_path, *runs)
    assert "trade 0 recorded, backtest 2 none" in note


def test_incomparable_runs_raise_errors(both, tmp_path):
    with pytest.raises(UsageError, match="two runs"):
        compare_runs(both[:1])
    other = read_run(Files(symbol="ETHUSDT").write(tmp_path / "c"))
    with pytest.raises(Mismatch, match="ETHUSDT and SIMUSDT"):
        compare_runs([both[0], other])
    later = Files()
    later.state = [f"{at(500 + s)},100,1000,0" for s in range(5)]
    spans = re.escape(
        f"one {iso(at(0))} to {iso(at(100))}; backtest one {iso(at(500))} to {iso(at(504))}; compare runs"
    )
    with pytest.raises(Mismatch, match=f"no time in common: backtest {spans}"):
        compare_runs([both[0], read_run(later.write(tmp_path / "d"))])
    with pytest.raises(UsageError, match="kind 'sweep'"):
        read_run(Files("sweep").write(tmp_path / "e"))


def test_run_without_fills_file_raises_broken_file(tmp_path):
    found = Files().write(tmp_path / "a")
    (found.folder / "fills_SIMUSDT.csv").unlink()
    with pytest.raises(BrokenFile, match="cannot be read"):
        read_run(found)


def test_runs_without_fills_have_no_spread_or_slippage(tmp_path):
    runs = [read_run(Files(run_id=name).write(tmp_path / name)) for name in ("a", "b")]
    found = compare_runs(runs)
    assert found.runs[0].half_spread_ticks is None
    assert found.agreement[0].slippage_ticks is None


def test_quoting_pnl_is_without_the_target_inventory(tmp_path):
    """Ten coins earn the ten ticks of the mid; that is no quoting if they are the target, as in each run's summary.

    A trade may begin with such a position from its earlier fills, without a target.
    """
    bare, held, carried = Files(run_id="a"), Files(run_id="b"), Files("trade", run_id="c")
    held.state = carried.state = [f"{at(s)},{100 + s // 10},{1_000 + s + 10 * (100 + s // 10)},10" for s in range(101)]
    held.target = 10
    found = compare_runs([read_run(files.write(tmp_path / files.run_id)) for files in (bare, held, carried)])
    assert [(run.pnl_quoting, run.pnl) for run in found.runs] == [(100, 100), (100, 200), (200, 200)]
    assert [one.pnl_difference for one in found.agreement] == [0, 100]


def test_differences_have_intervals_from_five_blocks_of_three_minutes_on(tmp_path):
    """A run that earns 1 more in each second block of ten: 5 on the whole, with an interval around it."""
    found = {}
    for minutes in (30, 12):
        live, replay = (Files(name, name, seconds=60 * minutes) for name in ("trade", "backtest"))
        replay.state = [f"{at(s)},100,1000,0" for s in range(60 * minutes + 1)]
        live.state = [f"{at(s)},100,{1000 + (s + 180) // 360},0" for s in range(60 * minutes + 1)]
        for s in range(200, 60 * minutes, 360):
            live.fill("BUY", 99, s, mid=100)
        runs = [read_run(run.write(tmp_path / f"{run.kind}{minutes}")) for run in (replay, live)]
        (found[minutes],) = compare_runs(runs).agreement
    assert (found[30].fills_difference, found[30].pnl_difference) == (5, 5)
    for low, high in (found[30].fills_ci95, found[30].pnl_ci95):
        assert low < 5 < high
        assert low + high == pytest.approx(10)
    assert found[12].pnl_ci95 is found[12].fills_ci95 is None
