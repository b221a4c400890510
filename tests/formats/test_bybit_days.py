"""``mm data fetch --market bybit`` from a server of ours: files in the archive's shape, and what may be wrong."""

import gzip
import io
import json
import zipfile
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bybit_frames import SYMBOL, BybitMarket
from day_files import defects_of
from mm.errors import BrokenFile, RunExists, TryLater
from mm.formats.bybit_days import ArchiveDay, fetch_archive_day
from mm.market_data.capture_import import ImportOptions
from mm.market_data.downloads import NotPublished
from mm.markets.bybit import LINEAR, SPOT

DAY = "20260806"
BOOK = f"/orderbook/linear/{SYMBOL}/2026-08-06_{SYMBOL}_ob200.data.zip"
TRADES = f"/trading/{SYMBOL}/{SYMBOL}2026-08-06.csv.gz"


def archive():
    """Return the files of a day by their places, and the number of changes and prints."""
    market = BybitMarket(4, depth=200)
    lines, rows = [market.snapshot()], ["timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue"]
    for _ in range(300):
        for told in json.loads(market.prints(1))["data"]:
            cells = f"{told['T'] / 1000:.4f}", SYMBOL, told["S"], told["v"], told["p"], told["L"], told["i"], "0"
            rows.append(",".join(cells))
        lines.append(market.delta())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(f"2026-08-06_{SYMBOL}_ob200.data", "\n".join(lines) + "\n")
    return {BOOK: packed.getvalue(), TRADES: gzip.compress(("\n".join(rows) + "\n").encode())}


@contextmanager
def serving(files, cut=()):
    """Serve *files*; each of *cut* ends in the middle the first time it is asked for."""
    cut = list(cut)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path)
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
    wanted = ArchiveDay(LINEAR, symbol, day, base, base, ImportOptions(top_n=1))
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
    old = ArchiveDay(LINEAR, "BTCUSDT", "20250820", "", "", options)
    assert old.book_place == "/orderbook/linear/BTCUSDT/2025-08-20_BTCUSDT_ob500.data.zip"
    new = ArchiveDay(LINEAR, "BTCUSDT", "20250821", "", "", options)
    assert new.book_place == "/orderbook/linear/BTCUSDT/2025-08-21_BTCUSDT_ob200.data.zip"
    spot = ArchiveDay(SPOT, "BTCUSDT", "20240101", "", "", options)
    assert spot.book_place == "/orderbook/spot/BTCUSDT/2024-01-01_BTCUSDT_ob200.data.zip"
    assert spot.trades_place == "/spot/BTCUSDT/BTCUSDT_2024-01-01.csv.gz"
