"""An oracle for day folders: checks the invariants of a recording against the exchange's true data.

It reads files with the standard library alone and imports nothing from the recorder, so that they share no errors.
"""

import csv
import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from mm.sim.exchange.truth import MarketTruth

Row = dict[str, str]
Book = list[dict[Decimal, tuple[str, str]]]


class Day:
    """The rows of a day folder; reading checks that each file opens and each row is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = list(_table(path, "orderbook_*.csv"))
        self.trades = list(_table(path, "trades_*.csv"))
        self.events = list(_table(path, "events_*.csv"))
        self.gaps = list(_table(path, "gaps_*.csv"))
        self.diffs = [json.loads(line) for line in _packed(path, "diffs/*.ndjson.gz")]
        self.quarantined = [json.loads(line) for line in _packed(path, "quarantine/*.ndjson.gz")]
        manifests = list(path.glob("manifest_*.json"))
        self.manifest = json.loads(manifests[0].read_bytes()) if manifests else None

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """Return the details of all events of a kind."""
        return [json.loads(row["details_json"]) for row in self.events if row["type"] == kind]

    def anomalies(self) -> list[str]:
        """Return the kinds of all anomalies, in order."""
        return [details["kind"] for details in self.logged("anomaly")]

    def holes(self, kind: str) -> set[int]:
        """Return the ids that events of a kind (``gap``, ``trade_gap``) report as missing."""
        return {number for hole in self.logged(kind) for number in range(hole["from_id"], hole["to_id"] + 1)}

    @property
    def tags(self) -> list[str]:
        """The tag of each snapshot: why it was taken."""
        return [details["path"].rpartition("_")[2].removesuffix(".csv") for details in self.logged("snapshot_loaded")]

    @property
    def missing_trades(self) -> set[int]:
        """Ids between the first and the last trade without a row."""
        ids = {int(row["trade_id"]) for row in self.trades}
        return set(range(min(ids), max(ids) + 1)) - ids

    @property
    def sealed(self) -> bool:
        """Whether the manifest is sealed, without a later writer."""
        return bool(self.manifest and self.manifest["sealed"])


def hold(path: Path, truth: MarketTruth, *, sealed: bool = True, wired: bool = True) -> Day:
    """Read a day and check every invariant; raises AssertionError at the first violation.

    *wired*: the day comes from real connections and requests, so that their ledger events are checked as well.
    """
    day = Day(path)
    _frames_match_truth(day, truth)
    _replay_reproduces_frames(day)
    _holes_are_reported(day)
    _trades_match_truth(day, truth)
    _sequence_numbers_increase(day)
    _ledger_is_well_formed(day)
    if wired:
        _connections_end_once(day)
        _requests_are_answered(day)
    assert day.sealed == sealed, f"sealed: {day.sealed}"
    if sealed:
        _manifest_matches_files(day)
    return day


def _frames_match_truth(day: Day, truth: MarketTruth) -> None:
    """I1: each frame equals the exchange's book of its id, as text, and none is crossed."""
    for row in day.frames:
        bids, asks = truth.book(int(row["last_update_id"]))
        top_n = sum(name.startswith("bid") and name.endswith("_qty") for name in row)
        for side, levels in (("bid", bids), ("ask", asks)):
            recorded = [(row[f"{side}{n}_price"], row[f"{side}{n}_qty"]) for n in range(1, top_n + 1)]
            true = [tuple(level) for level in levels[:top_n]]
            assert recorded == true + [("", "")] * (top_n - len(true)), (row["recv_seq"], row["last_update_id"], side)
        if row["bid1_price"] and row["ask1_price"]:
            assert Decimal(row["bid1_price"]) < Decimal(row["ask1_price"])


def _replay_reproduces_frames(day: Day) -> None:
    """I2: replaying a snapshot and the diffs after it reproduces the frames of its epoch."""
    frames = defaultdict(list)
    for row in day.frames:
        frames[row["epoch_id"]].append(row)
    by_seq = {diff["recv_seq"]: diff for diff in day.diffs}
    for event in day.events:
        if event["type"] != "snapshot_loaded":
            continue
        details = json.loads(event["details_json"])
        book, last_id = _snapshot(day.path / details["path"]), details["last_update_id"]
        for row in frames.pop(event["epoch_id"], []):
            diff = by_seq[int(row["recv_seq"])]
            assert diff["U"] <= last_id + 1 <= diff["u"], (event["epoch_id"], last_id, diff["U"], diff["u"])
            last_id = diff["u"]
            _apply(book, diff)
            assert int(row["last_update_id"]) == last_id
            assert [row["recv_time_us"], row["run_id"]] == [str(diff["recv_us"]), diff["run_id"]]
            for side, levels, sign in (("bid", book[0], -1), ("ask", book[1], 1)):
                best = sorted(levels, key=lambda price, sign=sign: sign * price)
                for n, price in enumerate(best[:5], 1):
                    assert (row[f"{side}{n}_price"], row[f"{side}{n}_qty"]) == levels[price]
    assert not frames, f"frames of epochs that no snapshot has opened: {list(frames)}"


def _holes_are_reported(day: Day) -> None:
    """I3: the diffs lack exactly the ids of the gaps in the ledger, or those covered by a snapshot, as reported.

    Gaps may be reported before the first diff and after the last: a crash with a full disk loses diffs, not the ledger.
    """
    missing, last = set(), None
    for diff in day.diffs:
        if last is not None and diff["U"] > last + 1:
            missing |= set(range(last + 1, diff["U"]))
        last = diff["u"] if last is None else max(last, diff["u"])
    covered = [details for details in day.logged("anomaly") if details["kind"] == "hole_under_snapshot"]
    covered_ids = {number for hole in covered for number in range(hole["seen_id"] + 1, hole["first_id"])}
    first = min((diff["U"] for diff in day.diffs), default=0)
    reported = {number for number in day.holes("gap") | covered_ids if first < number < (last or 0)}
    assert missing == reported, (
        f"missing {sorted(missing - reported)[:5]}, reported but present {sorted(reported - missing)[:5]}"
    )


def _trades_match_truth(day: Day, truth: MarketTruth) -> None:
    """I4: each trade from the first on is recorded once and correctly, or reported as missing in the ledger."""
    ids = [int(row["trade_id"]) for row in day.trades]
    assert len(ids) == len(set(ids)), "a trade is there twice"
    if not ids:
        return
    streamed = [int(row["trade_id"]) for row in day.trades if row["source"] == "ws"]
    assert streamed == sorted(streamed)
    true = {trade.trade_id: trade for trade in truth.trades(min(ids), max(ids))}
    for row in day.trades:
        trade = true.pop(int(row["trade_id"]))
        assert (row["price"], row["qty"]) == (trade.price, trade.qty)
        assert row["is_buyer_maker"] == str(trade.is_buyer_maker).lower()
        assert int(row["trade_time_ms"]) == trade.us // 1000
        assert row["first_trade_id"] == row["last_trade_id"] == row["trade_id"]
        assert (row["event_time_ms"] == "") == (row["source"] == "rest")
    reported = day.holes("trade_gap")
    assert set(true) <= reported, (
        f"trades {sorted(set(true) - reported)[:5]} are missing and not reported in the ledger"
    )


def _sequence_numbers_increase(day: Day) -> None:
    """I5: one counter over all runs; arrival never falls unless the ledger reports a step."""
    for rows in (day.frames, day.trades, day.events, day.gaps, day.diffs):
        seqs = [int(row["recv_seq"]) for row in rows]
        assert all(low < high for low, high in pairwise(seqs))
    own = [int(row["recv_seq"]) for rows in (day.trades, day.events, day.diffs, day.quarantined) for row in rows]
    assert len(own) == len(set(own)), "a number was given twice"
    assert {row["recv_seq"] for row in day.gaps} <= {row["recv_seq"] for row in day.events}
    stamps = sorted((diff["recv_seq"], diff["recv_us"]) for diff in day.diffs)
    if not day.logged("clock_step"):
        assert all(low[1] <= high[1] for low, high in pairwise(stamps))


def _ledger_is_well_formed(day: Day) -> None:
    """I7: runs start, and stop or are recovered; epochs count up, each opened by an existing snapshot."""
    ids = [int(row["event_id"]) for row in day.events]
    assert all(low < high for low, high in pairwise(ids))
    runs = list(dict.fromkeys(row["run_id"] for row in day.events))
    begun = [row["run_id"] for row in day.events if row["type"] == "run_start"]
    ended = [row["run_id"] for row in day.events if row["type"] == "run_stop"]
    recovered = [details["previous_run_id"] for details in day.logged("crash_recovered")]
    assert runs == begun
    assert len({*ended, *recovered}) == len(ended) + len(recovered), (ended, recovered)
    assert {*begun[:-1]} <= {*ended, *recovered}, (begun, ended, recovered)
    epochs = [int(row["epoch_id"]) for row in day.events if row["type"] == "snapshot_loaded"]
    assert epochs == list(range(1, len(epochs) + 1))
    for details in day.logged("snapshot_loaded"):
        assert (day.path / details["path"]).is_file()
    assert len(list(day.path.glob("snapshots/*"))) == len(epochs)


def _connections_end_once(day: Day) -> None:
    """I7: the connections of a run are numbered from one; each ends once, after it began."""
    open_now: dict[str, set[int]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for row in day.events:
        run = row["run_id"]
        if row["type"] == "ws_connected":
            count[run] += 1
            assert json.loads(row["details_json"])["conn"] == count[run]
            open_now[run].add(count[run])
        elif row["type"] == "ws_disconnected":
            open_now[run].remove(json.loads(row["details_json"])["conn"])
        elif row["type"] == "run_stop":
            assert not open_now[run], "a run stopped before its connections had ended"


def _requests_are_answered(day: Day) -> None:
    """I7: no snapshot is requested while another one is in transit, except by a run that follows a crash."""
    pending_run = ""
    for row in day.events:
        if row["type"] == "snapshot_request":
            assert pending_run != row["run_id"], (
                f"event {row['event_id']} requests a snapshot while another is in transit"
            )
            pending_run = row["run_id"]
        elif row["type"] in ("snapshot_loaded", "snapshot_failed"):
            pending_run = ""


def _manifest_matches_files(day: Day) -> None:
    """I8: rows, bytes and hashes match the files, and no file is missing."""
    named = {entry["path"]: entry for entry in day.manifest["files"]}
    there = {
        str(path.relative_to(day.path))
        for path in day.path.rglob("*")
        if path.is_file() and not path.name.startswith(("manifest_", "health")) and path.suffix not in (".lock", ".tmp")
    }
    assert there == set(named)
    for name, entry in named.items():
        data = (day.path / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest()), name
        if not name.endswith(".json"):
            lines = gzip.decompress(data) if name.endswith(".gz") else data
            assert entry["rows"] == lines.count(b"\n") - (not name.endswith(".ndjson.gz")), name


def _table(path: Path, pattern: str) -> Iterator[Row]:
    for file in path.glob(pattern):
        assert not file.stat().st_size or file.read_bytes().endswith(b"\n"), f"{file.name} ends within a row"
        with file.open(newline="", encoding="utf-8") as stream:
            head, *rows = list(csv.reader(stream))
        for number, cells in enumerate(rows, 2):
            assert len(cells) == len(head), f"{file.name} row {number} has {len(cells)} cells"
            assert cells != head, f"{file.name} row {number} is a header again"
            yield dict(zip(head, cells, strict=True))


def _packed(path: Path, pattern: str) -> Iterator[bytes]:
    for file in path.glob(pattern):
        with gzip.open(file) as stream:
            yield from stream


def _snapshot(path: Path) -> Book:
    book: Book = [{}, {}]
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            book[row["side"] == "ask"][Decimal(row["price"])] = (row["price"], row["qty"])
    return book


def _apply(book: Book, diff: dict[str, Any]) -> None:
    for side, levels in zip(book, (diff["b"], diff["a"]), strict=True):
        for price, qty in levels:
            if Decimal(qty):
                side[Decimal(price)] = (price, qty)
            else:
                side.pop(Decimal(price), None)
