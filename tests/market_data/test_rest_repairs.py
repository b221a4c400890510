"""Repairs by REST: trades missing from the stream, and levels missing from snapshots."""

import asyncio
import csv
import json
import time

import pytest

import boxed as boxed_market
from boxed import SYMBOL, Boxed, quicken, recorded
from day_oracle import Day
from mm import DayFolder
from mm.dayfolder.line_files import scan, whole_rows
from mm.dayfolder.recovery import last_streamed_id, open_holes
from mm.market_data import recording
from mm.market_data import snapshot as rest_tasks
from mm.market_data.live_session import LiveSession
from mm.sim.matching.order_log import IOC


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


async def plain(boxed, seconds=3.0):
    await boxed.synced()
    await boxed.play(seconds)
    await boxed.caught_up()


def filled(day):
    return [int(row["trade_id"]) for row in day.trades if row["source"] == "rest"]


def test_missing_trades_are_fetched():
    """Each gap and its backfill are reported; the rows have their source."""
    day = recorded(plain, "at time 3 do drop n=4 of=trade\nat time 3.6 do drop n=2 of=trade")
    holes = sorted(day.holes("trade_gap"))
    assert len(holes) == 6
    assert filled(day) == holes
    assert sum(details["rows"] for details in day.logged("backfill")) == 6
    assert sorted(day.holes("backfill")) == holes
    assert day.missing_trades == set()


def test_aggregates_are_fetched_if_the_host_has_no_single_trades():
    """Each aggregate covers the trade ids from first to last, which are all in the gap."""
    script = "at time 3 do drop n=6 of=trade\nat request 1 of /api/v3/historicalTrades do status code=404 n=0"
    day = recorded(plain, script, clean=False)
    rows = [row for row in day.trades if row["source"] == "rest"]
    covered = {number for row in rows for number in range(int(row["first_trade_id"]), int(row["last_trade_id"]) + 1)}
    assert covered
    assert covered <= day.holes("trade_gap")
    assert day.holes("backfill") <= day.holes("trade_gap")
    assert not covered & {int(row["trade_id"]) for row in day.trades if row["source"] == "ws"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["status code=503 n=2", "status code=429 retry_after=1", "broken_body", "cut_body", "slow delay_s=0.3"]
)
def test_failed_trade_requests_are_repeated(fault):
    """The recording continues in the meantime."""
    day = recorded(plain, f"at time 3 do drop n=3 of=trade\nat request 1 of /api/v3/historicalTrades do {fault}")
    assert len(filled(day)) == 3
    assert day.missing_trades == set()


class Lines:
    """A log that keeps the recorder's lines about missing trades, by level."""

    def __init__(self):
        self.lines = []

    def info(self, name, **details):
        self._take("info", name, details)

    def warning(self, name, **details):
        self._take("warning", name, details)

    def _take(self, level, name, details):
        if name.startswith("trades_"):
            self.lines.append((level, name, details.get("rows"), details.get("status")))


def test_failed_attempts_are_logged_as_one_warning(monkeypatch):
    """An info line with 0 rows per attempt would look like success."""
    log = Lines()
    monkeypatch.setattr(boxed_market, "_LOG", log)
    recorded(plain, "at time 3 do drop n=3 of=trade\nat request 1 of /api/v3/historicalTrades do status code=503 n=2")
    assert log.lines == [("warning", "trades_not_filled", None, 503), ("info", "trades_filled", 3, 200)]


def test_unavailable_trades_stay_a_gap_in_the_ledger():
    """A reported gap is not a defect."""
    script = (
        "at time 3 do drop n=3 of=trade\n"
        "at request 1 of /api/v3/historicalTrades do status code=404 n=0\n"
        "at request 1 of /api/v3/aggTrades do status code=404 n=0"
    )
    day = recorded(plain, script)
    assert (filled(day), day.logged("backfill")) == ([], [])
    assert day.missing_trades == day.holes("trade_gap") != set()


def test_next_run_fetches_trades_missed_between_runs(tmp_path):
    """After a restart within the day each trade is recorded once."""

    async def scenario(boxed):
        """Stop the first recording, let the market continue, and record again."""
        await plain(boxed)
        boxed.recording.stop("pause")
        await boxed.task
        for _ in range(5):
            await boxed.box.advance(seconds=0.1)
        again = Boxed(boxed.box, boxed.root)
        task = asyncio.create_task(again.recording.run())
        await plain(again, 1)
        again.recording.stop("enough")
        await task

    day = recorded(scenario, root=tmp_path)
    assert [details["reason"] for details in day.logged("run_stop")] == ["pause", "enough"]
    assert {gap["cause"] for gap in day.logged("trade_gap")} == {"restart"}
    assert set(filled(day)) == day.holes("trade_gap") != set()
    assert day.missing_trades == set()


def test_run_continues_after_the_last_streamed_trade_not_a_rest_trade(tmp_path):
    """REST rows are in order of arrival, also at the end of the file."""
    day = recorded(plain, "at time 3 do drop n=2 of=trade", root=tmp_path)
    path = next((tmp_path / SYMBOL).iterdir())
    folder = DayFolder.at(path)
    with folder.trades.open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    streamed = [row for row in rows if row[-1] == "ws"]
    fetched = [row for row in rows if row[-1] == "rest"]
    with folder.trades.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *streamed, *fetched])
    assert last_streamed_id(whole_rows(folder.trades, scan(folder.trades))) == int(streamed[-1][4])
    events = [(row["type"], json.loads(row["details_json"])) for row in Day(path).events]
    assert open_holes(events, int(streamed[-1][4])) == ()
    assert len(fetched) == len(day.holes("trade_gap"))


def event(kind, **details):
    return kind, details


def test_open_holes_are_the_unfilled_parts_of_gaps():
    """Gaps after the last trade that survived a crash are excluded: they are part of a larger one."""
    events = [
        event("trade_gap", from_id=3, to_id=9, from_us=1, to_us=2, cause="x"),
        event("backfill", from_id=4, to_id=6, rows=3),
        event("trade_gap", from_id=20, to_id=21, from_us=3, to_us=4, cause="x"),
        event("trade_gap", from_id=40, to_id=41, from_us=5, to_us=6, cause="x"),
        event("gap", from_id=1, to_id=2, from_us=5, to_us=6, cause="x"),
    ]
    assert open_holes(events, 30) == ((3, 3, 1, 2), (7, 9, 1, 2), (20, 21, 3, 4))
    assert open_holes(events, None) == ()


def test_overlapping_holes_are_merged():
    """A run reported 47 and was killed before 46 was on the disk; later runs reported larger gaps from 46 on."""
    events = [
        event("trade_gap", from_id=47, to_id=47, from_us=1, to_us=2, cause="ids_missing"),
        event("trade_gap", from_id=46, to_id=60, from_us=3, to_us=4, cause="restart"),
        event("trade_gap", from_id=46, to_id=69, from_us=3, to_us=5, cause="restart"),
    ]
    assert open_holes(events, 45) == ()
    assert open_holes(events, 70) == ((46, 69, 3, 5),)
    events.append(event("backfill", from_id=46, to_id=68, rows=23))
    assert open_holes(events, 70) == ((69, 69, 3, 5),)


@pytest.mark.parametrize(("last", "held"), [(28, False), (29, True)])
def test_hole_before_the_first_trade_of_the_day_is_dropped(last, held):
    """If filled, it would become the day's first trade, and the loss after it would be unreported."""
    events = [event("trade_gap", from_id=25, to_id=last, from_us=1, to_us=2, cause="x")]
    assert open_holes(events, 40, 30) == (((25, last, 1, 2),) if held else ())


def test_moving_book_is_refreshed_before_its_levels_run_out(monkeypatch):
    """The best asks are bought one by one: the old book continues until a deeper one bridges."""
    monkeypatch.setattr(recording, "LOOK_EVERY_S", 0.01)
    lots = 100_000

    async def scenario(boxed):
        core = boxed.box.exchange._core
        for ticks in range(1, 81):
            for side in (1, -1):
                core.submit(boxed.box.scheduler.done_us, 1_000, side, 10_000 - side * ticks, lots)
        await boxed.until(lambda: boxed.session is not None and boxed.logged("ws_connected"))
        await boxed.play(0.2)
        core.submit(boxed.box.scheduler.done_us, 1_000, 1, 9_000, lots)
        await boxed.synced()
        for _ in range(45):
            core.submit(boxed.box.scheduler.done_us, 1_001, 1, 10_100, lots, IOC)
            await boxed.play(0.1)
            await asyncio.sleep(0.02)
            await boxed.until(
                lambda: not boxed.session.wants_refresh or boxed.session.market.book.snapshot_waits, playing=False
            )

    day = recorded(scenario, scenario_name="empty", limit=60)
    assert day.tags[0] == "initial"
    assert set(day.tags[1:]) == {"refresh"}
    assert len(day.tags) >= 2
    assert (day.logged("gap"), day.logged("resync_start"), day.anomalies()) == ([], [], [])
    followed = [int(row["last_update_id"]) for row in day.frames]
    assert followed == [diff["u"] for diff in day.diffs if diff["u"] >= followed[0]]


def test_weight_and_attempts_are_counted():
    """The local count is at least the exchange's own count."""

    async def scenario(boxed):
        await plain(boxed, 1)
        assert boxed.parts.rest.rest.used_weight
        assert boxed.weight.spent >= boxed.parts.rest.rest.used_weight
        assert boxed.attempts.spent == 1

    recorded(scenario)


def test_internal_error_does_not_end_the_recording(monkeypatch):
    """The error is reported as an anomaly, and the next snapshot is loaded."""
    monkeypatch.setattr(rest_tasks, "LEAST_PAUSE_S", 0.02)
    original, calls = LiveSession._take_snapshot, []

    def faulty(self, answer):
        calls.append(answer)
        if len(calls) == 1:
            raise ZeroDivisionError("of a test")
        return original(self, answer)

    monkeypatch.setattr(LiveSession, "_take_snapshot", faulty)
    day = recorded(lambda boxed: plain(boxed, 2))
    (anomaly,) = (details for details in day.logged("anomaly") if details["kind"] == "internal")
    assert anomaly["reason"] == "ZeroDivisionError: of a test"
    assert day.tags == ["initial"]
    assert day.frames


def test_loop_lag_is_reported_in_the_ledger():
    """Messages that arrive during a blocked loop have late stamps."""

    async def scenario(boxed):
        await plain(boxed, 1)
        time.sleep(0.5)
        await plain(boxed, 1)

    day = recorded(scenario)
    assert max(details["lag_s"] for details in day.logged("loop_lag")) > 0.2


def test_slow_exchange_info_at_the_start_does_not_delay_the_streams():
    """The symbol is checked concurrently with the recording."""

    async def scenario(boxed):
        await boxed.until(lambda: boxed.session is not None and boxed.session.report.trades > 0)
        assert not boxed.logged("exchange_info")
        await boxed.synced()
        await plain(boxed, 1)

    slow = "\n".join(f"at request {n} of /api/v3/exchangeInfo do slow delay_s=20" for n in (1, 2))
    recorded(scenario, slow)
