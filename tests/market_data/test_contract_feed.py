"""Marks, liquidations, open interest and best prices of a contract in its day folder, also after a crash."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from mm.dayfolder.check import check_day
from mm.dayfolder.contract_rows import ContractCoverage, cover_contract
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.market_data.contract_feed import ContractFeed
from mm.markets.binance import USDM

BEGIN_US = 1_767_600_000_000_000
MARK = {"e": "markPriceUpdate", "s": "SIMUSDT", "p": "100.5", "i": "100.25", "P": "100.4", "r": "-0.0001"}
FORCED = {
    "s": "SIMUSDT",
    "S": "SELL",
    "o": "LIMIT",
    "f": "IOC",
    "q": "2.0",
    "p": "99.1",
    "ap": "99.4",
    "X": "FILLED",
    "l": "1",
    "z": "2.0",
    "T": BEGIN_US // 1_000,
}


@pytest.fixture
def folder(tmp_path: Path) -> DayFolder:
    """A day of a contract."""
    return DayFolder(tmp_path, "SIMUSDT", "20260105")


@pytest.fixture
def writer(folder: DayFolder) -> Iterator[DayWriter]:
    """Its writer, with the first event of a run."""
    with DayWriter(folder, "first", market=USDM) as writer:
        writer.event(BEGIN_US, "run_start", 0, {"version": "0", "knobs": {"symbol": "SIMUSDT", "market": "usdm"}})
        yield writer


def feed_of(writer: DayWriter) -> ContractFeed:
    """Return what writes the messages."""
    return ContractFeed("SIMUSDT", lambda: writer, structlog.get_logger())


def send(feed: ContractFeed, at_s: float, data: dict[str, Any]) -> None:
    """Deliver a message of a stream."""
    feed.message(BEGIN_US + round(at_s * 1e6), 1, 0, json.dumps({"stream": "x", "data": data}).encode())


def mark(at_s: int, **more: Any) -> dict[str, Any]:
    """Return a mark price of a second."""
    return MARK | {"E": BEGIN_US // 1_000 + 1_000 * at_s, "T": BEGIN_US // 1_000 + 3_600_000} | more


def best(update_id: int, bid: str = "100.1") -> dict[str, Any]:
    """Return best prices after an update."""
    stamps = {"E": BEGIN_US // 1_000 + 7, "T": BEGIN_US // 1_000 + 5}
    return {"e": "bookTicker", "s": "SIMUSDT", "u": update_id, "b": bid, "B": "1", "a": "100.2", "A": "2.5"} | stamps


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_message_is_a_row_once(folder: DayFolder, writer: DayWriter) -> None:
    """What both connections of a hand-over send is written once; values are the exchange's own text."""
    feed = feed_of(writer)
    for at_s, message in (
        (1, mark(1)),
        (1.1, mark(1)),
        (2, mark(2, T=0)),
        (2.5, best(7)),
        (2.6, best(7)),
        (2.7, best(9)),
    ):
        send(feed, at_s, message)
    for _ in range(2):
        send(feed, 3, {"e": "forceOrder", "E": BEGIN_US // 1_000 + 3, "o": FORCED})
    feed.interest(
        BEGIN_US + 2, json.dumps({"openInterest": "123.4", "symbol": "SIMUSDT", "time": BEGIN_US // 1_000}).encode()
    )
    writer.seal()
    told = rows(folder.contract)
    assert [row["kind"] for row in told] == ["mark", "mark", "liquidation", "open_interest"]
    assert [told[0][name] for name in ("mark_price", "index_price", "settle_price", "funding_rate")] == [
        "100.5",
        "100.25",
        "100.4",
        "-0.0001",
    ]
    assert [row["next_funding_ms"] for row in told[:2]] == [str(BEGIN_US // 1_000 + 3_600_000), ""]
    assert [told[2][name] for name in ("side", "price", "average_price", "qty", "status")] == [
        "sell",
        "99.1",
        "99.4",
        "2.0",
        "FILLED",
    ]
    assert (told[3]["open_interest"], told[3]["recv_time_us"]) == ("123.4", told[2]["recv_time_us"])
    assert [row["update_id"] for row in rows(folder.best)] == ["7", "9"]
    assert json.loads(folder.schema.read_text())["schema_version"] == 2
    sealed = read_manifest(folder)
    assert sealed
    assert {entry.path: entry.rows for entry in sealed.files}[folder.contract.name] == 4
    assert not [one for one in check_day(folder).defects if one.file in (folder.contract.name, folder.best.name)]


@pytest.mark.parametrize(
    "bad", [mark(1, p="1e5"), mark(1, E=None), best(1, bid="nan"), {"e": "kline", "s": "SIMUSDT"}, {}]
)
def test_what_cannot_be_read_is_quarantined(folder: DayFolder, writer: DayWriter, bad: dict[str, Any]) -> None:
    """The next message is written as ever."""
    feed = feed_of(writer)
    send(feed, 1, bad)
    send(feed, 2, mark(2))
    writer.flush()
    assert folder.quarantine.exists()
    assert len(rows(folder.contract)) == 1


def test_a_torn_row_is_cut_and_the_day_goes_on(folder: DayFolder) -> None:
    """After a crash within a row the next run continues with later numbers."""
    knobs = {"version": "0", "knobs": {"symbol": "SIMUSDT", "market": "usdm"}}
    with DayWriter(folder, "first", market=USDM) as writer:
        writer.event(BEGIN_US, "run_start", 0, knobs)
        send(feed_of(writer), 1, mark(1))
    with folder.contract.open("ab") as file:
        file.write(b"1767600002000,17676000")
    assert any(one.file == folder.contract.name for one in check_day(folder).defects)
    with DayWriter(folder, "second", market=USDM) as writer:
        assert writer.earlier.lost
        writer.event(BEGIN_US + 2_000_000, "run_start", 0, knobs)
        send(feed_of(writer), 3, mark(3))
    told = rows(folder.contract)
    assert [row["run_id"] for row in told] == ["first", "second"]
    assert int(told[0]["recv_seq"]) < int(told[1]["recv_seq"])


def test_check_finds_a_value_of_another_type(folder: DayFolder, writer: DayWriter) -> None:
    """A price that is no decimal, a kind that there is not, a header of another version."""
    send(feed_of(writer), 1, mark(1))
    writer.seal()
    good = folder.contract.read_text()
    for old, new in (("100.5", "ten"), (",mark,", ",mood,"), ("kind", "sort"), ("-0.0001,", "")):
        folder.contract.write_text(good.replace(old, new))
        assert {one.kind for one in check_day(folder).defects if one.file == folder.contract.name} - {"manifest"}


def test_coverage_counts_what_there_is_of_the_contract(folder: DayFolder, writer: DayWriter) -> None:
    """Marks, and the longest time without one; a day of Spot has none of it."""
    feed = feed_of(writer)
    for at_s in (1, 2, 3, 11, 12):
        send(feed, at_s, mark(at_s))
    send(feed, 13, best(7))
    writer.flush()
    assert cover_contract(folder) == ContractCoverage(5, 1 + 1 + 5 + 1, 8.0, 0, 0, 1)
    assert cover_contract(DayFolder(folder.root, "BOXUSDT", folder.day)) is None


def test_a_day_goes_to_parquet_and_back(folder: DayFolder, writer: DayWriter, tmp_path: Path) -> None:
    """The same text in both files."""
    export = pytest.importorskip("mm.formats.day_parquet")
    feed = feed_of(writer)
    send(feed, 1, mark(1))
    send(feed, 2, best(7))
    send(feed, 3, {"e": "forceOrder", "E": BEGIN_US // 1_000 + 3, "o": FORCED})
    writer.seal()
    before = [path.read_text() for path in (folder.contract, folder.best)]
    target = tmp_path / "parquet" / folder.symbol / folder.day
    export.export_day(folder, target)
    back, _ = export.import_day(target, tmp_path / "back")
    assert [path.read_text() for path in (back.contract, back.best)] == before
