"""The recorded frames of Bybit: every book message and print is in the day, and every book is an own replay's."""

import gzip
import json
from decimal import Decimal

import pytest

from bybit_frames import OwnReplay
from captured import events, rows
from day_files import defects_of
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.formats.bybit import form_of_files
from mm.market_data.capture_import import captures_of, import_captures
from mm.markets.registry import MARKETS
from support import SHARED

SAMPLE = SHARED / "data" / "bybit-v5-20260809"
pytestmark = pytest.mark.skipif(not SAMPLE.exists(), reason="needs the recorded frames in ../shared")


def recorded(market, symbol):
    """Return the frames of a symbol's book and prints, read without the product."""
    conn = {"bybit": "BYBIT.ws.2", "bybit-spot": "BYBIT.ws.3"}[market]
    with gzip.open(SAMPLE / "frames.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    frames = [record["data"] for record in records if record["t"] == "recv" and record["conn"] == conn]
    topics = f'"orderbook.200.{symbol}"', f'"publicTrade.{symbol}"'
    return [text for text in frames if any(topic in text for topic in topics)]


@pytest.mark.parametrize(
    ("market", "symbol", "tickers"),
    [("bybit", "BTCUSDT", 170), ("bybit", "ETHUSDT", 200), ("bybit-spot", "BTCUSDT", 0)],
)
def test_recorded_frames_are_all_in_the_day_and_make_its_books(tmp_path, market, symbol, tickers):
    """Nothing of a real stream is lost, and its own best prices agree with the books."""
    form = captures_of(MARKETS[market])
    report = import_captures([SAMPLE / "frames.jsonl.gz"], symbol, tmp_path, run_id="r", form=form)
    (day,) = [DayFolder(tmp_path, symbol, day.day) for day in report.days]
    frames, replay = recorded(market, symbol), OwnReplay()
    deltas = [json.loads(text) for text in frames if '"orderbook' in text and '"delta"' in text]
    with gzip.open(day.diffs, "rt") as lines:
        stored = [json.loads(line) for line in lines]
    assert [(row["u"], row["seq"], row["T"], row["b"], row["a"]) for row in stored] == [
        (told["data"]["u"], told["data"]["seq"], told["cts"], told["data"]["b"], told["data"]["a"]) for told in deltas
    ]
    shown = iter(rows(day.frames))
    for text in frames:
        replay.take(text)
        if '"orderbook' not in text or '"delta"' not in text:
            continue
        row, book = next(shown), replay.book()
        assert len(book[1]) == len(book[-1]) == 200
        for name, side in (("bid", 1), ("ask", -1)):
            got = [(Decimal(row[f"{name}{n}_price"]), Decimal(row[f"{name}{n}_qty"])) for n in range(1, 21)]
            assert got == book[side][:20]
    assert next(shown, None) is None
    trades = [(row["venue_trade_id"], int(row["seq"]), row["price"], row["qty"]) for row in rows(day.trades)]
    assert trades == [(told["i"], told["seq"], told["p"], told["v"]) for told in replay.prints]
    assert report.agreed == report.compared >= tickers
    assert not events(day, "gap")
    assert not defects_of(day)
    assert read_manifest(day).trades_provable is (market == "bybit-spot")


def test_recorded_file_of_the_archive_is_a_day(tmp_path):
    """Its 50 lines are a book of 500 levels and 49 changes of it."""
    path = next(SAMPLE.glob("*.zip"))
    report = import_captures([path], "XRPUSDT", tmp_path, run_id="r", form=form_of_files([path]))
    (day,) = report.days
    assert (day.book.diffs, day.book.snapshots, day.book.gaps) == (49, 1, 0)
    assert json.loads((DayFolder(tmp_path, "XRPUSDT", day.day).schema).read_text())["book_depth"] == 500
