"""``mm data fetch --market bybit`` from a server of ours: files in the archive's shape, REST, and what may be wrong."""

import csv
import gzip
import io
import json
import zipfile
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlparse

import pytest

from bybit_frames import SYMBOL, BybitMarket
from day_files import defects_of
from mm.errors import BrokenFile, RunExists, TryLater
from mm.formats.bybit_days import ArchiveDay, fetch_archive_day
from mm.market_data.capture_import import ImportOptions
from mm.market_data.downloads import NotPublished
from mm.markets.bybit import LINEAR, SPOT
from support import run_mm

DAY = "20260806"
DAY_MS = 86_400_000
MIDNIGHT_MS = 1_785_974_400_000
"""Of `DAY`, UTC."""
RATES = "0.0001", "-0.00025", "0.00005"


def places(day=DAY):
    """Return where a day's book and prints are published."""
    at = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return f"/orderbook/linear/{SYMBOL}/{at}_{SYMBOL}_ob200.data.zip", f"/trading/{SYMBOL}/{SYMBOL}{at}.csv.gz"


BOOK, TRADES = places()


def archive(day=DAY, first_ms=None, apart_ms=0):
    """Return the files of a day by their places; its book is sent from *first_ms* on, and was matched 2 ms before."""
    market = BybitMarket(4, depth=200)
    market.ms = market.ms if first_ms is None else first_ms - 2
    lines, rows = [market.snapshot()], ["timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue"]
    for _ in range(300):
        market.ms += apart_ms
        for told in json.loads(market.prints(1))["data"]:
            cells = f"{told['T'] / 1000:.4f}", SYMBOL, told["S"], told["v"], told["p"], told["L"], told["i"], "0"
            rows.append(",".join(cells))
        lines.append(market.delta())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(f"{day}_{SYMBOL}_ob200.data", "\n".join(lines) + "\n")
    at = places(day)
    return {at[0]: packed.getvalue(), at[1]: gzip.compress(("\n".join(rows) + "\n").encode())}


def mark_at(ms):
    """Return the mark price of a minute: another one each minute."""
    return f"{1_000 + ms // 60_000 % 977 / 10:.2f}"


def rest_answer(name, asked):
    """Answer as the exchange's REST interface does: newest first, at most *limit*."""
    if name == "instruments-info":
        filters = {
            "priceFilter": {"tickSize": "0.10"},
            "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "minNotionalValue": "5"},
        }
        rows = [{"symbol": asked["symbol"], "status": "Trading", "baseCoin": "SIM", "quoteCoin": "USDT", **filters}]
        return {"category": asked["category"], "list": rows}
    if name == "funding/history":
        first, last = int(asked["startTime"]), int(asked["endTime"])
        due = range(-(-first // (DAY_MS // 3)) * (DAY_MS // 3), last + 1, DAY_MS // 3)
        rows = [
            {"symbol": asked["symbol"], "fundingRate": RATES[ms // (DAY_MS // 3) % 3], "fundingRateTimestamp": str(ms)}
            for ms in due
        ]
    else:
        assert name == "mark-price-kline"
        first, last = int(asked["start"]), int(asked["end"])
        rows = [[str(ms), mark_at(ms), "0", "0", "0"] for ms in range(first, last + 1, 60_000)]
    return {"category": asked["category"], "list": rows[::-1][: int(asked["limit"])]}


@contextmanager
def serving(files, cut=(), answers=rest_answer):
    """Serve *files* and REST's *answers*; each of *cut* ends in the middle the first time it is asked for."""
    cut = list(cut)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path)
            asked = urlparse(self.path)
            if asked.path.startswith("/v5/market/") and answers:
                given = {key: value[0] for key, value in parse_qs(asked.query).items()}
                result = answers(asked.path.removeprefix("/v5/market/"), given)
                body = json.dumps({"retCode": 0 if result else 10_001, "retMsg": "", "result": result or {}}).encode()
            if body is None:
                self.send_error(404)
                return
            at = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if at else 200)
            self.send_header("Content-Length", str(len(body) - at))
            if at:
                self.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            stop = self.path in cut
            if stop:
                cut.remove(self.path)
            self.wfile.write(body[at : len(body) // 2 if stop else None])
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(root, base, *, symbol=SYMBOL, day=DAY):
    wanted = ArchiveDay(LINEAR, symbol, day, base, base, ImportOptions(top_n=1), base)
    return fetch_archive_day(wanted, root, 10**9, lambda *_: nullcontext(lambda _: None), lambda _: None)


def kept(root):
    """Return what is left below *root* that is a day."""
    return list(root.rglob("*.json"))


def test_day_of_the_archive_becomes_a_day(tmp_path):
    """Downloads that are cut are resumed; the day is whole, and a second call does not replace it."""
    with serving(archive(), cut=(BOOK, TRADES)) as base:
        day = fetched(tmp_path, base)
        assert [file["url"] for file in day.files] == [base + BOOK, base + TRADES]
        with pytest.raises(RunExists):
            fetched(tmp_path, base)
    path = tmp_path / SYMBOL / DAY
    assert [(one.kind, one.message) for one in defects_of(path)] == []
    assert [part for part in (tmp_path / SYMBOL).iterdir() if part != path] == []
    assert json.loads((path / "schema.json").read_text())["book_depth"] == 200
    (trades,) = path.glob("trades_ws_*")
    assert len(trades.read_text().splitlines()) == 301


@pytest.mark.parametrize("place", [BOOK, TRADES])
def test_listing_without_the_file_is_one_line_and_no_day(tmp_path, place):
    files = archive()
    del files[place]
    with serving(files) as base, pytest.raises(NotPublished, match="not published"):
        fetched(tmp_path, base)
    assert not kept(tmp_path)


@pytest.mark.parametrize("place", [BOOK, TRADES])
def test_page_of_html_instead_of_a_file_is_refused(tmp_path, place):
    """A firewall answers with status 200, too."""
    files = archive() | {place: b"<!DOCTYPE html><html></html>"}
    with serving(files) as base, pytest.raises(BrokenFile, match="HTML"):
        fetched(tmp_path, base)
    assert not kept(tmp_path)


def test_file_that_is_cut_on_the_server_leaves_no_day(tmp_path):
    files = archive()
    with serving(files | {BOOK: files[BOOK][: len(files[BOOK]) // 2]}) as base, pytest.raises(BrokenFile):
        fetched(tmp_path, base)
    assert not kept(tmp_path)


def test_server_that_cannot_be_reached_is_tried_later(tmp_path):
    with pytest.raises(TryLater, match="mm data import"):
        fetched(tmp_path, "http://127.0.0.1:9")
    assert not kept(tmp_path)


def test_names_of_the_files_are_those_of_their_day():
    """Books of linear contracts had 500 levels until 2025-08-20."""
    options = ImportOptions()
    old = ArchiveDay(LINEAR, "BTCUSDT", "20250820", "", "", options, "")
    assert old.book_place == "/orderbook/linear/BTCUSDT/2025-08-20_BTCUSDT_ob500.data.zip"
    new = ArchiveDay(LINEAR, "BTCUSDT", "20250821", "", "", options, "")
    assert new.book_place == "/orderbook/linear/BTCUSDT/2025-08-21_BTCUSDT_ob200.data.zip"
    spot = ArchiveDay(SPOT, "BTCUSDT", "20240101", "", "", options, "")
    assert spot.book_place == "/orderbook/spot/BTCUSDT/2024-01-01_BTCUSDT_ob200.data.zip"
    assert spot.trades_place == "/spot/BTCUSDT/BTCUSDT_2024-01-01.csv.gz"


def events_of(folder, kind):
    """Return the rows of a day's ledger of one kind, their details as numbers and texts."""
    (path,) = folder.glob("events_*.csv")
    with path.open() as file:
        return [json.loads(row["details_json"]) for row in csv.DictReader(file) if row["type"] == kind]


def test_funding_marks_and_instrument_are_fetched(tmp_path):
    """Payments as paid, with the mark price of their minute; the rate of a payment is told nowhere before it."""
    with serving(archive(first_ms=MIDNIGHT_MS + 700, apart_ms=287_000)) as base:
        report = fetched(tmp_path, base).report
    folder = tmp_path / SYMBOL / DAY
    assert [one for one in report.warnings if "funding" in one or "instrument" in one] == []
    paid = [(one["paid_ms"], one["rate"], one["mark_price"]) for one in events_of(folder, "funding")]
    dues = [MIDNIGHT_MS + part * DAY_MS // 3 for part in range(3)]
    assert paid == [(ms, RATES[ms // (DAY_MS // 3) % 3], mark_at(ms)) for ms in dues]
    (contract,) = folder.glob("contract_*.csv")
    with contract.open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "mark"]
    last = (300 * 287_100 + 700) // 60_000  # the minute in which the files end
    assert [row["mark_price"] for row in rows] == [mark_at(MIDNIGHT_MS + 60_000 * at) for at in range(last + 1)]
    assert {row["funding_rate"] for row in rows} == {""}
    instrument = json.loads((folder / "instrument.json").read_text())
    assert instrument["quoteAsset"] == "USDT"


@pytest.mark.parametrize("lacks", ["instruments-info", "funding/history", "mark-price-kline"])
def test_what_rest_does_not_tell_is_said_and_the_day_is_kept(tmp_path, lacks):
    def answers(name, asked):
        return None if name == lacks else rest_answer(name, asked)

    with serving(archive(first_ms=MIDNIGHT_MS + 700), answers=answers) as base:
        report = fetched(tmp_path, base).report
    assert [one for one in report.warnings if "unknown" in one]
    assert events_of(tmp_path / SYMBOL / DAY, "funding") == []
    assert report.days[0].synced


def test_book_matched_before_midnight_belongs_to_its_file(tmp_path):
    """The first book of a day is sent a millisecond after midnight, and matched before it: no day of its own."""
    days = DAY, "20260807"
    files = archive(days[0], MIDNIGHT_MS + 1) | archive(days[1], MIDNIGHT_MS + DAY_MS + 1)
    with serving(files) as base:
        for day in days:
            assert [one.day for one in fetched(tmp_path, base, day=day).report.days] == [day]
    assert sorted(path.name for path in (tmp_path / SYMBOL).iterdir()) == [*days]
    for day in days:
        assert [(one.kind, one.message) for one in defects_of(tmp_path / SYMBOL / day)] == []


def test_several_days_are_fetched_and_those_that_are_there_passed_over(tmp_path):
    """A day that is not published is named at the end; the same command then asks for it alone."""
    days = "20260805", DAY, "20260807"
    files = {}
    for number, day in enumerate(days):
        files |= archive(day, MIDNIGHT_MS + (number - 1) * DAY_MS + 900)
    later = {at: files.pop(at) for at in places(DAY)}
    words = (
        "data",
        "fetch",
        "--market",
        "bybit",
        "--symbol",
        SYMBOL,
        "--day",
        "20260805:20260807",
        "--data-root",
        "data",
    )
    with serving(files) as base:
        given = dict.fromkeys(("BYBIT_BOOK_ARCHIVE", "BYBIT_TRADES_ARCHIVE", "BYBIT_REST"), base)
        first = run_mm(*words, cwd=tmp_path, **given)
        assert first.returncode == 3
        assert f"1 of 3 days cannot be played: {DAY}" in first.stderr
        assert sorted(path.name for path in (tmp_path / "data" / SYMBOL).iterdir() if path.name.isdecimal()) == [
            days[0],
            days[2],
        ]
        files |= later
        again = run_mm(*words, "--json", cwd=tmp_path, **given)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert [[day["day"] for day in one["days"]] for one in told["days"]] == [[DAY]]
    assert told["missing"] == {}
    check = "data", "check", "--symbol", SYMBOL, "--day", "20260805:20260807"
    assert run_mm(*check, cwd=tmp_path).returncode == 0
    (trades,) = (tmp_path / "data" / SYMBOL / DAY).glob("trades_ws_*")
    trades.write_text(trades.read_text().replace("true", "wrong", 1))
    damaged = run_mm(*check, "--json", cwd=tmp_path)
    assert damaged.returncode == 3
    assert [day["ok"] for day in json.loads(damaged.stdout)["days"]] == [True, False, True]


def test_todays_instrument_is_doubted_where_all_prices_are_coarser(tmp_path):
    def finer(name, asked):
        told = rest_answer(name, asked)
        if name == "instruments-info":
            told["list"][0]["priceFilter"]["tickSize"] = "0.01"
        return told

    with serving(archive(first_ms=MIDNIGHT_MS + 700), answers=finer) as base:
        report = fetched(tmp_path, base).report
    assert [one for one in report.warnings if "today's" in one and "0.1" in one]
