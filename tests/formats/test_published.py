"""Published days: downloads from a server on loopback into a day folder, verified, resumed or rejected."""

import gzip
import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from published_days import BEGIN_MS, CAPTURES, DATE, DAY, END_MS, STAMPED, SYMBOL, recorded

from day_files import check, defects_of
from file_server import Files, place, serving_files, zipped
from mm import DayFolder
from mm.__main__ import main
from mm.errors import BrokenFile, DataError, RunExists, TryLater
from mm.formats.published import BOOK, TRADES, PublishedFiles, fetch_day
from mm.market_data.capture_import import ImportOptions

NOON = 1_680_696_000_000
NAME = "AUSDT"


@contextmanager
def no_bar(_label, _total):
    yield lambda _count: None


def best(number, ms, bid="100.1", ask="100.3", bid_qty="2", ask_qty="3"):
    return f"{number},{bid},{bid_qty},{ask},{ask_qty},{ms},{ms + 4}"


def trade(number, ms, price="100.1", qty="0.5", maker="true"):
    return f"{number},{price},{qty},50,{ms},{maker}"


BOOK_ROWS = [best(10, NOON), best(20, NOON + 5, bid="100.2"), best(30, NOON + 900)]
TRADE_ROWS = [trade(7, NOON + 5), trade(8, NOON + 6), trade(9, NOON + 900)]


@pytest.fixture
def files():
    with serving_files() as found:
        yield found


def publish(files: Files, book=BOOK_ROWS, trades=TRADE_ROWS, symbol=NAME, date=DATE):
    return files.add(BOOK, symbol, date, book), files.add(TRADES, symbol, date, trades)


def fetch(files: Files, root: Path, market="usdm", symbol=NAME, day=DAY, most=10**9, **more):
    pauses = []
    wanted = PublishedFiles(market=market, symbol=symbol, day=day, **more)
    try:
        fetched = fetch_day(wanted, root, files.url, most, no_bar, pauses.append)
        assert [file["url"].rpartition("-")[0].count(symbol) for file in fetched.files] == [2] * len(wanted.kinds)
        return fetched.report
    finally:
        files.pauses = pauses


def rows_of(folder: DayFolder, path: Path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def test_day_of_best_prices_is_sound_and_rows_keep_their_times(files, tmp_path):
    publish(files)
    report = fetch(files, tmp_path)
    folder = DayFolder(tmp_path, NAME, DAY)
    checked = check(folder)
    assert checked.ok, checked.defects
    assert checked.sealed
    assert checked.covered_s == 0.9
    frames = rows_of(folder, folder.frames)
    assert [(row[5:9], row[-2]) for row in frames] == [
        (["100.1", "2", "100.3", "3"], f"{NOON}000"),
        (["100.2", "2", "100.3", "3"], f"{NOON + 5}000"),
        (["100.1", "2", "100.3", "3"], f"{NOON + 900}000"),
    ]
    trades = rows_of(folder, folder.trades)
    assert [(row[4], row[9], row[8], row[12]) for row in trades] == [
        (str(number), f"{NOON + after}000", "true", "import") for number, after in ((7, 5), (8, 6), (9, 900))
    ]
    # At equal times the trade comes first: the best prices at 5 ms are those after it.
    assert [int(row[2]) for row in trades] == sorted(int(row[2]) for row in trades)
    assert int(trades[0][2]) < int(frames[1][2]) < int(trades[1][2])
    assert json.loads(folder.schema.read_text())["venue"] == "binance-usdm"
    assert json.loads(folder.instrument.read_text())["inferred"] == ["tick size", "quantity step"]
    assert (report.days[0].trades, report.instrument.tick_e8) == (3, 10_000_000)
    assert not list(tmp_path.glob("*/*.download"))


def test_funding_of_a_day_of_futures_is_in_doubt(files, tmp_path):
    """No mark prices are published, so what was paid at 16:00 is not known."""
    ms = NOON + 4 * 3_600_000
    publish(files, book=[best(10, ms - 500), best(20, ms + 500, bid="100.2")], trades=[trade(7, ms + 500)])
    report = fetch(files, tmp_path)
    assert any(line.startswith("funding due at 2023-04-05T16:00:00") for line in report.warnings)
    assert '""kind"":""funding_doubt""' in DayFolder(tmp_path, NAME, DAY).events.read_text()


def test_equal_files_import_to_equal_bytes(files, tmp_path):
    publish(files)
    found = []
    for root in (tmp_path / "a", tmp_path / "b"):
        fetch(files, root)
        folder = DayFolder(root, NAME, DAY).path
        found.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert found[0] == found[1]


def test_spot_day_has_trades_only_and_reports_it(files, tmp_path):
    lines = [f"{n},1.5,2,3,{(NOON + n) * 1000},{'True' if n % 2 else 'False'},True" for n in range(1, 5)]
    files.add(TRADES, NAME, DATE, lines, header=False, market="spot")
    report = fetch(files, tmp_path, market="spot")
    folder = DayFolder(tmp_path, NAME, DAY)
    checked = check(folder)
    assert checked.ok, checked.defects
    assert (checked.covered_s, report.days[0].synced, report.days[0].trades) == (0, False, 4)
    assert [row[8] for row in rows_of(folder, folder.trades)] == ["true", "false"] * 2
    assert [row[9] for row in rows_of(folder, folder.trades)] == [str((NOON + n) * 1000) for n in range(1, 5)]
    assert any("have no book" in line for line in report.lines())


def test_download_resumes_after_a_broken_connection(files, tmp_path):
    rows = [best(n, NOON + n, bid_qty=str(1 + hash((n, 1)) % 9973)) for n in range(1, 3000)]
    at, _ = publish(files, book=rows)
    size = len(files.contents[at])
    assert size > 4000
    files.broken[at] = 2
    fetch(files, tmp_path)
    ranges = [wanted for method, where, wanted in files.requests if where == at]
    assert ranges == [None, "bytes=1000-", "bytes=2000-"]
    assert not defects_of(DayFolder(tmp_path, NAME, DAY))


@pytest.mark.parametrize("ranges", [True, False])
def test_next_call_resumes_an_interrupted_download(files, tmp_path, ranges):
    files.ranges = ranges
    at, _ = publish(files, book=[best(n, NOON + n, ask_qty=str(1 + hash(n) % 9973)) for n in range(1, 3000)])
    home = DayFolder(tmp_path / NAME / f"{DAY}.download", NAME, DAY).path
    home.mkdir(parents=True)
    (home / f"{at.rpartition('/')[2]}.part").write_bytes(files.contents[at][:1500])
    fetch(files, tmp_path)
    assert ("GET", at, "bytes=1500-") in files.requests
    assert not defects_of(DayFolder(tmp_path, NAME, DAY))


def test_unavailable_server_raises_try_later_and_leaves_no_day(files, tmp_path):
    at, _ = publish(files)
    files.broken[at] = -1000
    with pytest.raises(TryLater, match=r"503, \d+ times.*copy AUSDT-bookTicker-2023-04-05.zip and"):
        fetch(files, tmp_path)
    files.url = "http://127.0.0.1:9"
    with pytest.raises(TryLater, match="try again later"):
        fetch(files, tmp_path / "other")
    assert not DayFolder(tmp_path, NAME, DAY).path.exists()


def test_manually_copied_files_need_no_server(files, tmp_path):
    home = DayFolder(tmp_path / NAME / f"{DAY}.download", NAME, DAY).path
    home.mkdir(parents=True)
    for at in publish(files):
        for name in (at, at + ".CHECKSUM"):
            (home / name.rpartition("/")[2]).write_bytes(files.contents[name])
    fetch(files, tmp_path)
    assert files.requests == []


def test_pinned_sha256_is_compared_with_the_published_hash(files, tmp_path):
    pins = frozenset(hashlib.sha256(files.contents[at]).hexdigest() for at in publish(files))
    with pytest.raises(BrokenFile, match="not one of sha256"):
        fetch(files, tmp_path, sha256=frozenset(("f" * 64,)))
    fetch(files, tmp_path, sha256=pins)


def test_missing_day_error_contains_the_nearest_day(files, tmp_path):
    publish(files, date="2023-09-17")
    with pytest.raises(DataError, match=r"not published.*nearest available day is --day 20230917"):
        fetch(files, tmp_path, day="20230920")
    with pytest.raises(DataError, match="from 20230516 to 20240330"):
        fetch(files, tmp_path, day="20240501")
    with pytest.raises(DataError, match=r"none within 10 days .* is BUSDT a symbol of --market usdm\?"):
        fetch(files, tmp_path, day="20230920", symbol="BUSDT")


def test_existing_day_is_not_fetched_again(files, tmp_path):
    publish(files)
    fetch(files, tmp_path)
    request_count = len(files.requests)
    with pytest.raises(RunExists, match="already contains a day"):
        fetch(files, tmp_path)
    assert len(files.requests) == request_count


def test_impossible_book_rows_are_dropped_and_missing_ids_reported(files, tmp_path):
    book = [
        best(10, NOON - 86_400_000),
        best(11, NOON),
        best(11, NOON),
        best(12, NOON + 1, bid="100.3"),
        best(13, NOON + 2, bid="0", bid_qty="0"),
        best(14, NOON + 1),
    ]
    publish(files, book=book, trades=[trade(7, NOON + 5), trade(12, NOON + 6), trade(13, NOON + 7, price="0", qty="0")])
    report = fetch(files, tmp_path)
    folder = DayFolder(tmp_path, NAME, DAY)
    checked = check(folder)
    assert checked.ok, checked.defects
    for warning in ("1 rows of another day were left out", "1 trades without a quantity were no executions"):
        assert any(line.startswith(warning) for line in report.warnings)
    frames = rows_of(folder, folder.frames)
    assert [row[5:9] for row in frames] == [
        ["100.1", "2", "100.3", "3"],
        ["", "", "100.3", "3"],
        ["100.1", "2", "100.3", "3"],
    ]
    assert [row[-2] for row in frames] == [f"{NOON}000", f"{NOON + 2}000", f"{NOON + 2}000"]  # time never steps back
    assert report.days[0].trade_gaps == 1
    assert '""from_id"":8,""to_id"":11' in folder.gaps.read_text()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip", "the last row has no end of line"),
        (zipped("x", ["1,2,3"]), "the columns update_id,best_bid_price,best_bid_qty lack"),
        (zipped("x", BOOK_ROWS, "a,b,c"), "the columns a,b,c lack"),
        (zipped("x", [best(1, NOON, bid="-1")]), "negative"),
        (zipped("x", [best(1, NOON - 10**9)]), "no row of"),
    ],
)
def test_file_of_another_form_raises_broken_file(files, tmp_path, data, message):
    files.put(place(BOOK, NAME, DATE), data)
    files.add(TRADES, NAME, DATE, [])
    with pytest.raises(BrokenFile, match=message):
        fetch(files, tmp_path)
    assert not DayFolder(tmp_path, NAME, DAY).path.exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_given_steps_are_kept(files, tmp_path):
    publish(files)
    options = ImportOptions(tick_size="0.05", qty_step="0.1", min_notional="5", top_n=1)
    instrument = fetch(files, tmp_path, options=options).instrument
    assert [instrument.tick_e8, instrument.lot_e8, instrument.min_notional_e8] == [5_000_000, 10_000_000, 500_000_000]
    assert "inferred" not in json.loads(DayFolder(tmp_path, NAME, DAY).instrument.read_text())
    assert not defects_of(DayFolder(tmp_path, NAME, DAY))


def test_fetch_command_prints_the_path_and_returns_exit_codes(files, tmp_path, monkeypatch, capsys):
    publish(files, symbol="XMRUSDT", date="2023-09-20", book=[best(1, 1_695_211_200_000)], trades=[])
    monkeypatch.setenv("FETCH_URL", files.url)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setattr("mm.market_data.downloads.FIRST_PAUSE_S", 0.001)

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main(["data", "fetch", *args])
        return ended.value.code or 0, capsys.readouterr()

    code, output = run("--json")
    assert code == 0
    assert json.loads(output.out.splitlines()[-1])["path"] == str(tmp_path / "XMRUSDT" / "20230920")
    code, output = run("--symbol", "XMRUSDT")
    assert code == 2
    assert "must be set together" in output.err
    code, output = run("--symbol", "NONEUSDT", "--day", "20230920")
    assert code == 3
    monkeypatch.setenv("FETCH_URL", "http://127.0.0.1:9")
    code, output = run("--symbol", "NONEUSDT", "--day", "20230921")
    assert code == 75
    assert output.err.count("\n") == 1


@pytest.mark.skipif(not CAPTURES, reason="no recorded data in ../shared")
def test_published_day_has_the_best_prices_of_the_recorded_depth(files, tmp_path):
    """The tape of the fetched day has the same best prices as a book built from the recorded depth messages."""
    pytest.importorskip("polars")
    import mm

    book, trades = recorded()
    publish(files, book=book, trades=trades, symbol=SYMBOL)
    fetch(files, tmp_path, symbol=SYMBOL)
    tape = mm.load_day(tmp_path / SYMBOL / DAY)
    frame = tape.best_prices_frame()
    found = {
        (round(row[0].timestamp() * 1000), row[1:5])
        for row in frame.select("time", "bid_price", "bid_qty", "ask_price", "ask_qty").iter_rows()
    }
    compared = 0
    for stamp, levels in _depth_of({int(row.partition(",")[0]) for row in book}):
        compared += 1
        assert (stamp, levels) in found
    assert compared > 100


def _depth_of(tickers):
    """Yield transaction time and best prices after each depth message whose id is in *tickers*, by a plain book."""
    sides, synced = ({}, {}), 0
    for path in CAPTURES:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                data = json.loads(line.partition(" ")[2])
                if "lastUpdateId" in data:
                    sides = tuple({float(p): float(q) for p, q in data[key]} for key in ("bids", "asks"))
                    synced = data["lastUpdateId"]
                data = data.get("data", {})
                if data.get("e") in STAMPED and data["T"] >= END_MS:
                    return
                if data.get("e") != "depthUpdate" or not synced or data["u"] < synced:
                    continue
                for side, key in zip(sides, "ba", strict=True):
                    for price, qty in data[key]:
                        side[float(price)] = float(qty)
                        if not float(qty):
                            del side[float(price)]
                if data["u"] in tickers and BEGIN_MS <= data["T"] < END_MS:
                    bid, ask = max(sides[0]), min(sides[1])
                    yield data["T"], (bid, sides[0][bid], ask, sides[1][ask])
