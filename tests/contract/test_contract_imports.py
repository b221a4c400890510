"""An imported day folder, compared with its capture line by line."""

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import hand
import pytest
from lab import Done, Lab
from outside import header_of, json_of, rows_of, sha256_of, text_of

DEPTH = [f"{side}{n}_{what}" for n in range(1, 21) for side in ("bid", "ask") for what in ("price", "qty")]
COLUMNS = {
    "orderbook_ws_depth": ",".join(
        ["event_time_ms", "recv_time_ms", "recv_seq", "run_id", "epoch_id", *DEPTH, "recv_time_us", "last_update_id"]
    ),
    "trades_ws": "event_time_ms,recv_time_ms,recv_seq,run_id,trade_id,trade_time_ms,price,qty,is_buyer_maker,"
    "recv_time_us,first_trade_id,last_trade_id,source",
    "events": "event_id,recv_time_ms,recv_seq,run_id,type,epoch_id,details_json,recv_time_us",
    "gaps": "recv_time_ms,recv_seq,run_id,epoch_id,event,details,recv_time_us",
}
KEYS = {
    "run_start": {"version", "knobs"},
    "run_stop": {"reason"},
    "resync_start": {"cause"},
    "resync_done": {"last_update_id"},
    "snapshot_loaded": {"last_update_id", "path"},
    "gap": {"from_id", "to_id", "from_us", "to_us", "cause"},
    "trade_gap": {"from_id", "to_id", "from_us", "to_us", "cause"},
    "clock_step": {"by_us"},
    "clock_offset": {"median_us", "p99_us", "stream"},
}
Data = dict[str, Any]


def day_of(lab: Lab, name: str = "wild", day: str = "20260105") -> Path:
    return (lab.wild() if name == "wild" else lab.night()) / hand.SYMBOL / day


def file_of(folder: Path, kind: str) -> Path:
    return folder / f"{kind}_{hand.SYMBOL}_{folder.name}.csv"


def received(lines: list[str], kind: str) -> Iterator[tuple[int, Data]]:
    """Yield the capture's messages of one kind for our symbol, with receive times."""
    for line in lines:
        us, text = line.split(" ", 1)
        if text.startswith("{not"):
            continue
        data = json.loads(text).get("data", {})
        if data.get("s") == hand.SYMBOL and data["e"] == kind:
            yield int(us), data


def test_columns_match_contract(lab: Lab) -> None:
    """A day recorded by another program must look the same; readers use these names and this order."""
    for kind, columns in COLUMNS.items():
        assert header_of(file_of(day_of(lab), kind)) == columns
    for path in (day_of(lab) / "snapshots").iterdir():
        assert header_of(path) == "run_id,event_id,side,price,qty,lastUpdateId"


def test_every_depth_message_is_kept_unchanged(lab: Lab) -> None:
    """Stale diffs and diffs around a gap are kept too, with the exchange's text and ids and the capture's time."""
    (path,) = (day_of(lab) / "diffs").iterdir()
    stored = [json.loads(line) for line in text_of(path).splitlines()]
    expected = [
        (us, us // 1000, *(data[key] for key in ("E", "U", "u", "b", "a")))
        for us, data in received(hand.wild(), "depthUpdate")
    ]
    assert [tuple(row[key] for key in ("recv_us", "recv_ms", "E", "U", "u", "b", "a")) for row in stored] == expected
    assert list(stored[0]) == ["recv_ms", "recv_us", "recv_seq", "run_id", "E", "U", "u", "b", "a"]


def test_every_trade_is_kept_once(lab: Lab) -> None:
    """The duplicate trade is stored once; all other values are the exchange's text."""
    rows = rows_of(file_of(day_of(lab), "trades_ws"))
    trades = {data["t"]: (us, data) for us, data in reversed(list(received(hand.wild(), "trade")))}
    assert len(rows) == len(trades)
    for row, (number, (us, data)) in zip(rows, sorted(trades.items()), strict=True):
        assert row == {
            "event_time_ms": str(data["E"]),
            "recv_time_ms": str(us // 1000),
            "recv_seq": row["recv_seq"],
            "run_id": "by-hand",
            "trade_id": str(number),
            "trade_time_ms": str(data["T"]),
            "price": data["p"],
            "qty": data["q"],
            "is_buyer_maker": "true" if data["m"] else "false",
            "recv_time_us": str(us),
            "first_trade_id": str(number),
            "last_trade_id": str(number),
            "source": "import",
        }


def frames(lines: list[str]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield epoch, last id and frame of every applied diff, by the rules of the exchange's documentation."""
    book: dict[str, dict[Decimal, tuple[str, str]]] = {}
    last, epoch, buffered = None, 0, list[Data]()
    for line in lines:
        text = line.split(" ", 1)[1]
        message = {} if text.startswith("{not") else json.loads(text)
        data = message.get("data", {})
        if "lastUpdateId" in message:
            book = {key: {} for key in ("bids", "asks")}
            for key in book:
                put(book[key], message[key])
            last, epoch = message["lastUpdateId"], epoch + 1
            due, buffered = [diff for diff in buffered if diff["u"] > last], []
        elif data.get("e") == "depthUpdate" and data["s"] == hand.SYMBOL:
            due = [data]
        else:
            continue
        for diff in due:
            if last is None or diff["U"] > last + 1:
                last = None
                buffered.append(diff)
            elif diff["u"] > last:
                put(book["bids"], diff["b"])
                put(book["asks"], diff["a"])
                last = diff["u"]
                yield epoch, last, frame(book)


def put(side: dict[Decimal, tuple[str, str]], levels: list[list[str]]) -> None:
    for price, qty in levels:
        if Decimal(qty):
            side[Decimal(price)] = (price, qty)
        else:
            side.pop(Decimal(price), None)


def frame(book: dict[str, dict[Decimal, tuple[str, str]]]) -> dict[str, str]:
    """Return the twenty best levels per side as the columns of a frame; missing levels are empty."""
    cells = dict.fromkeys(DEPTH, "")
    for name, key, sign in (("bid", "bids", -1), ("ask", "asks", 1)):
        for n, price in enumerate(sorted(book[key], key=lambda price, sign=sign: sign * price)[:20], 1):
            cells[f"{name}{n}_price"], cells[f"{name}{n}_qty"] = book[key][price]
    return cells


def test_frames_match_rebuilt_book_after_each_applied_diff(lab: Lab) -> None:
    """One frame per applied diff, in order, none while unsynced; texts are the exchange's, best first."""
    rows = rows_of(file_of(day_of(lab), "orderbook_ws_depth"))
    expected = list(frames(hand.wild()))
    assert len(rows) == len(expected)
    for row, (epoch, last, cells) in zip(rows, expected, strict=True):
        assert (int(row["epoch_id"]), int(row["last_update_id"])) == (epoch, last)
        assert {key: row[key] for key in DEPTH} == cells


@pytest.mark.parametrize(("name", "day"), [("wild", "20260105"), ("night", "20260105"), ("night", "20260106")])
def test_recv_seq_is_one_counter_over_all_files(lab: Lab, name: str, day: str) -> None:
    """The counter increases within each file; a frame has its diff's number, a gaps row that of its event."""
    folder = day_of(lab, name, day)
    numbers: dict[str, list[int]] = {
        kind: [int(row["recv_seq"]) for row in rows_of(file_of(folder, kind))] for kind in COLUMNS
    }
    (path,) = (folder / "diffs").iterdir()
    numbers["diffs"] = [json.loads(line)["recv_seq"] for line in text_of(path).splitlines()]
    for kind, seqs in numbers.items():
        assert seqs == sorted(set(seqs)), kind
    assert set(numbers["orderbook_ws_depth"]) <= set(numbers["diffs"])
    assert set(numbers["gaps"]) <= set(numbers["events"])
    own = [seq for kind in ("events", "diffs", "trades_ws") for seq in numbers[kind]]
    assert len(own) == len(set(own))


def test_ledger_contains_every_fault_with_its_keys(lab: Lab) -> None:
    """The ledger contains the gap, the resync, the clock step, the duplicate trade and the stale diff."""
    events = [(row["type"], json.loads(row["details_json"])) for row in rows_of(file_of(day_of(lab), "events"))]
    for kind, details in events:
        assert KEYS.get(kind, set()) <= set(details), kind
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "run_start"
    assert kinds[-1] == "run_stop"
    assert {"snapshot_loaded", "gap", "resync_start", "resync_done", "clock_step", "window_end"} <= set(kinds)
    anomalies = {details["kind"] for kind, details in events if kind == "anomaly"}
    assert anomalies == {"duplicate", "stale"}
    diffs = [data for _, data in received(hand.wild(), "depthUpdate")]
    id_gaps = [(a["u"] + 1, b["U"] - 1) for a, b in pairwise(diffs) if b["U"] > a["u"] + 1]
    gaps = [(details["from_id"], details["to_id"]) for kind, details in events if kind == "gap"]
    assert gaps[0] in id_gaps
    assert len(gaps) == 1


def test_unparsable_line_is_kept_in_quarantine(lab: Lab) -> None:
    """The quarantine keeps the bytes."""
    (path,) = (day_of(lab) / "quarantine").iterdir()
    (line,) = text_of(path).splitlines()
    kept = json.loads(line)
    assert list(kept) == ["recv_us", "recv_seq", "stream", "reason", "raw_base64"]


@pytest.mark.parametrize(("name", "day"), [("wild", "20260105"), ("night", "20260105"), ("night", "20260106")])
def test_manifest_is_sealed_and_matches_files(lab: Lab, name: str, day: str) -> None:
    """Rows, bytes and hashes match; all files of the folder but the lock are listed."""
    folder = day_of(lab, name, day)
    manifest = json_of(folder / f"manifest_{hand.SYMBOL}_{day}.json")
    assert manifest["sealed"] is True
    assert (manifest["symbol"], manifest["day"], manifest["runs"]) == (hand.SYMBOL, day, ["by-hand"])
    listed = {entry["path"] for entry in manifest["files"]}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there - listed <= {f"manifest_{hand.SYMBOL}_{day}.json", "day.lock"}
    for entry in manifest["files"]:
        path = folder / entry["path"]
        assert (entry["bytes"], entry["sha256"]) == (path.stat().st_size, sha256_of(path))
        if path.suffix == ".csv":
            assert entry["rows"] == len(rows_of(path))


def test_next_day_begins_with_carried_book(lab: Lab) -> None:
    """One folder per Berlin day; the second starts with a `carried` snapshot of the last book of the first."""
    first, second = day_of(lab, "night", "20260105"), day_of(lab, "night", "20260106")
    for folder, before in ((first, True), (second, False)):
        (path,) = (folder / "diffs").iterdir()
        assert all((json.loads(line)["recv_us"] < hand.MIDNIGHT) == before for line in text_of(path).splitlines())
    (carried,) = (second / "snapshots").iterdir()
    assert carried.name.endswith("_carried.csv")
    loaded = next(row for row in rows_of(file_of(second, "events")) if row["type"] == "snapshot_loaded")
    assert json.loads(loaded["details_json"])["path"] == f"snapshots/{carried.name}"
    assert carried.name == f"snapshot_{loaded['event_id']}_carried.csv"
    last = rows_of(file_of(first, "orderbook_ws_depth"))[-1]
    rows = rows_of(carried)
    assert {row["lastUpdateId"] for row in rows} == {last["last_update_id"]}
    for side, sign in (("bid", -1), ("ask", 1)):
        levels = sorted((row for row in rows if row["side"] == side), key=lambda row: sign * Decimal(row["price"]))
        frame_levels = [(last[f"{side}{n}_price"], last[f"{side}{n}_qty"]) for n in range(1, 21)]
        assert [(row["price"], row["qty"]) for row in levels[:20]] == [
            level for level in frame_levels if level != ("", "")
        ]


def checked(lab: Lab, name: str, day: str) -> Done:
    return lab.command(f"check/{name}-{day}", "data", "check", str(day_of(lab, name, day)), "--json")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "day"), [("wild", "20260105"), ("night", "20260105"), ("night", "20260106")])
def test_data_check_accepts_imported_day(lab: Lab, name: str, day: str) -> None:
    """`mm data check` accepts the result of the import."""
    done = checked(lab, name, day)
    assert done.code == 0
    report = done.last
    assert {"ok", "sealed", "defects", "covered_s", "gaps"} <= set(report)
    assert (report["ok"], report["sealed"], report["defects"]) == (True, True, [])


def test_import_compares_book_tickers(lab: Lab) -> None:
    """The import reports how many book tickers were compared with the book and how many agreed."""
    lines, number = [], 0
    for line in hand.small():
        lines.append(line)
        us, text = line.split(" ", 1)
        data = json.loads(text).get("data", {})
        if data.get("e") == "depthUpdate":
            number += 1
            wrong = "7.000" if number == 10 else None
            (bid, bid_qty), (ask, ask_qty) = data["b"][0], data["a"][0]
            ticker = {"u": data["u"], "s": "TINYUSDT", "b": bid, "B": wrong or bid_qty, "a": ask, "A": ask_qty}
            lines.append(hand.line(int(us) + 10, {"stream": "tinyusdt@bookTicker", "data": ticker}))
    done = lab.imported("tickers", lines, "--symbol", "TINYUSDT")
    assert done.code == 0
    assert "120 compared, 119 agreed" in done.out


def test_two_imports_of_one_capture_are_equal(lab: Lab) -> None:
    """The same lines give the same bytes."""
    first = day_of(lab, "night", "20260105").parent
    lines = hand.wild(seed=6, minutes=6, start=hand.MIDNIGHT - 180_000_000)
    grid = ("--tick-size", str(hand.TICK), "--qty-step", "0.01", "--min-notional", "1")
    again = lab.imported("night-again", lines, "--symbol", hand.SYMBOL, *grid, RUN_ID="by-hand", PYTHONHASHSEED="3")
    second = again.cwd / "data" / hand.SYMBOL
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(second)) for path in second.rglob("*") if path.is_file())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
