"""Hold a recorded day against what really happened, knowing nothing of how it was recorded: files and a truth, no more.

Nothing of the recorder's own engine, book or readers is used here.
"""

import csv
import gzip
import json
from decimal import Decimal
from itertools import pairwise

DAY_FILES = ("orderbook_ws_depth", "trades_ws", "events", "gaps")


class Recorded:
    """The rows of a day folder."""

    def __init__(self, path):
        self.path = path
        self.frames, self.trades, self.events, self.gaps = (self._rows(name) for name in DAY_FILES)
        for event in self.events:
            event["details"] = json.loads(event["details_json"])
        (packed,) = path.glob("diffs/*.ndjson.gz")
        self.diffs = [json.loads(line) for line in gzip.decompress(packed.read_bytes()).splitlines()]

    def _rows(self, name):
        (path,) = self.path.glob(f"{name}_*.csv")
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def told(self, kind):
        return [event["details"] for event in self.events if event["type"] == kind]

    def anomalies(self):
        return [details["kind"] for details in self.told("anomaly")]

    @property
    def tags(self):
        return [details["path"].rpartition("_")[2].removesuffix(".csv") for details in self.told("snapshot_loaded")]

    def holes(self, kind):
        return {number for hole in self.told(kind) for number in range(hole["from_id"], hole["to_id"] + 1)}


def assert_frames_are_true(day, truth, top_n, era=None):
    """I1: every frame is the exchange's book after its last id, text by text; levels that are missing are empty."""
    for row in day.frames:
        for side, levels in zip(("bid", "ask"), truth.book(int(row["last_update_id"]), era), strict=True):
            told = [(row[f"{side}{level}_price"], row[f"{side}{level}_qty"]) for level in range(1, top_n + 1)]
            missing = [("", "")] * (top_n - len(levels[:top_n]))
            assert told == [*map(tuple, levels[:top_n]), *missing], row["last_update_id"]


def assert_frames_are_what_snapshots_and_diffs_make(day, top_n):
    """I2, I3: each epoch begins with its snapshot; every diff that brings something new has its one frame."""
    diffs = {diff["recv_seq"]: diff for diff in day.diffs}
    for event in day.events:
        if event["type"] != "snapshot_loaded":
            continue
        book, last = _snapshot(day.path / event["details"]["path"]), event["details"]["last_update_id"]
        for row in (row for row in day.frames if row["epoch_id"] == event["epoch_id"]):
            diff = diffs[int(row["recv_seq"])]
            assert diff["u"] == int(row["last_update_id"]) > last
            assert diff["U"] <= last + 1
            assert (str(diff["recv_us"]), str(diff["recv_ms"])) == (row["recv_time_us"], row["recv_time_ms"])
            last = diff["u"]
            for side, changes in ((1, diff["b"]), (-1, diff["a"])):
                for price, qty in changes:
                    book.pop((side, Decimal(price)), None)
                    if Decimal(qty):
                        book[side, Decimal(price)] = (price, qty)
            for side, name in ((1, "bid"), (-1, "ask")):
                keys = sorted((price for found, price in book if found == side), reverse=side > 0)[:top_n]
                told = [(row[f"{name}{at}_price"], row[f"{name}{at}_qty"]) for at in range(1, len(keys) + 1)]
                assert told == [book[side, price] for price in keys]


def _snapshot(path):
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {(1 if row["side"] == "bid" else -1, Decimal(row["price"])): (row["price"], row["qty"]) for row in rows}


def assert_missing_updates_are_told(day):
    """I3: the diffs leave out exactly the ids of the gaps in the ledger, or that a snapshot has covered, as it says."""
    missing, last = set(), None
    for diff in day.diffs:
        if last is not None and diff["U"] > last + 1:
            missing |= set(range(last + 1, diff["U"]))
        last = diff["u"] if last is None else max(last, diff["u"])
    covered = [details for details in day.told("anomaly") if details["kind"] == "hole_under_snapshot"]
    under = {number for hole in covered for number in range(hole["seen_id"] + 1, hole["first_id"])}
    assert missing == day.holes("gap") | under


def assert_trades_are_true(day, truth, last_id=None):
    """I4: every trade from the first one recorded on stands once and as it was, or lies in a hole that is told."""
    ids = [int(row["trade_id"]) for row in day.trades]
    streamed = [int(row["trade_id"]) for row in day.trades if row["source"] == "ws"]
    assert len(set(ids)) == len(ids)
    assert streamed == sorted(streamed)
    missing = set(range(min(ids), (last_id or max(ids)) + 1)) - set(ids)
    assert missing <= day.holes("trade_gap")
    happened = {trade.trade_id: trade for trade in truth.trades(min(ids), max(ids))}
    for row in day.trades:
        trade = happened[int(row["trade_id"])]
        assert (row["price"], row["qty"], row["trade_time_ms"]) == (trade.price, trade.qty, str(trade.us // 1000))
        assert row["is_buyer_maker"] == str(trade.is_buyer_maker).lower()
        assert row["first_trade_id"] == row["last_trade_id"] == row["trade_id"]
        assert (row["event_time_ms"] == "") == (row["source"] == "rest")
    return missing


def assert_order_is_that_of_arrival(day):
    """I5: one counter a day, and time that does not fall unless the ledger says that the clock was set."""
    files = (day.frames, day.trades, day.events, day.gaps, day.diffs)
    stepped = bool(day.told("clock_step"))
    for rows in files:
        numbers = [int(row["recv_seq"]) for row in rows]
        assert all(low < high for low, high in pairwise(numbers))
    for rows in (day.trades, day.events, day.diffs):
        stamps = [int(row.get("recv_time_us") or row["recv_us"]) for row in rows]
        assert stepped or all(low <= high for low, high in pairwise(stamps))


def assert_ledger_is_well_formed(day):
    """I7: what begins also ends; one request at a time; a connection ends once, and after it has begun."""
    kinds = [event["type"] for event in day.events]
    assert kinds.count("run_start") == kinds.count("run_stop") + kinds.count("crash_recovered")
    waiting = False
    for kind in kinds:
        assert not (kind == "snapshot_request" and waiting)
        waiting = kind == "snapshot_request" or (waiting and kind not in ("snapshot_loaded", "snapshot_failed"))
    for run in {event["run_id"] for event in day.events}:
        opened, ended = (
            [event["details"]["conn"] for event in day.events if (event["run_id"], event["type"]) == (run, kind)]
            for kind in ("ws_connected", "ws_disconnected")
        )
        assert opened == list(range(1, len(opened) + 1))
        assert sorted(ended) == opened


def assert_day_is_true(day, truth, top_n, last_trade_id=None):
    """Assert all of these; return the trades that are missing."""
    assert_frames_are_true(day, truth, top_n)
    assert_frames_are_what_snapshots_and_diffs_make(day, top_n)
    assert_missing_updates_are_told(day)
    assert_order_is_that_of_arrival(day)
    assert_ledger_is_well_formed(day)
    return assert_trades_are_true(day, truth, last_trade_id)
