import csv
import gzip
import hashlib
import json
import os
import shutil
import subprocess
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import (
    DAY,
    NOON_US,
    SYMBOL,
    diff,
    events,
    exchange_info,
    folder,
    frames,
    import_files,
    imported,
    kinds,
    lines,
    rows,
    snapshot,
    tags,
    ticker,
    trade,
    write,
)
from day_files import check, defects_of
from mm.errors import BrokenFile, Mismatch, OffGrid, RunExists, UsageError
from mm.markets.grid import NO_MIN_NOTIONAL
from mm.markets.local_orderbook import LocalOrderBook
from support import SHARED, run_python

shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")
GOOD = [snapshot(10), diff(11, 11), trade(1), ticker(11), diff(12, 12)]


def test_capture_becomes_a_sealed_day(tmp_path):
    """The day holds every file of the contract and passes the check."""
    report = imported(tmp_path, GOOD)
    day = folder(tmp_path)
    checked = check(day)
    assert (checked.ok, checked.sealed, checked.defects) == (True, True, [])
    assert (kinds(day), tags(day)) == (["snapshot_loaded"], [("initial", 10)])
    assert report.days[0].path == str(day.path)
    start = events(day, "run_start")[0]["knobs"]
    assert (start["symbol"], start["captures"], start["top_n"]) == (SYMBOL, ["capture_0.gz"], 20)


def test_several_captures_become_one_recording(tmp_path):
    """A file border has no effect: ids and trades continue across it."""
    imported(tmp_path, GOOD, write(tmp_path / "b", [diff(13, 13), trade(2)], from_us=NOON_US + 10**6))
    day = folder(tmp_path)
    assert kinds(day) == ["snapshot_loaded"]
    assert [last_id for _, last_id, _, _ in frames(day)] == [11, 12, 13]


def test_overlapping_captures_lose_and_repeat_nothing(tmp_path):
    """The second recorder was started before the first one ended."""
    again = write(tmp_path / "b", [diff(12, 12), trade(1), diff(13, 13), trade(2)], from_us=NOON_US + 10**6)
    report = imported(tmp_path, GOOD, again)
    day = folder(tmp_path)
    assert [last_id for _, last_id, _, _ in frames(day)] == [11, 12, 13]
    assert [row["trade_id"] for row in rows(day.trades)] == ["1", "2"]
    assert report.days[0].book.anomalies == {"duplicate": 2}
    assert not defects_of(day)


def test_capture_without_a_snapshot_is_kept_and_never_syncs(tmp_path):
    """Diffs and trades are kept; no frames are written."""
    report = imported(tmp_path, [diff(1, 1), trade(1), diff(2, 2)])
    day = folder(tmp_path)
    assert (frames(day), len(rows(day.trades)), report.days[0].book.diffs) == ([], 1, 2)
    assert not report.days[0].synced
    assert not defects_of(day)


def test_inferred_grid_is_marked(tmp_path):
    """The finest price may come last; the order step is that of the first book, whatever comes later."""
    report = imported(tmp_path, [snapshot(10), diff(11, 11, [["99.95", "0.25"]]), trade(1, qty="0.003")])
    assert (report.instrument.tick_e8, report.instrument.lot_e8) == (5_000_000, 10_000_000)
    assert report.inferred == ["tick size", "quantity step"]
    assert [warning.split(" is inferred")[0] for warning in report.warnings] == [
        "tick size 0.05",
        "quantity step 0.1",
        str(NO_MIN_NOTIONAL),
    ]
    written = json.loads(folder(tmp_path).instrument.read_text())
    assert written["inferred"] == ["tick size", "quantity step"]
    assert written["filters"][0]["tickSize"] == "0.05000000"


@pytest.mark.parametrize(("count", "step"), [(2, "1"), (9, "1"), (10, "5")])
def test_few_levels_do_not_make_a_coarse_step(tmp_path, count, step):
    """Quantities of 5 and 10 share the 5 by chance, those of twenty levels do not; later rows do not count."""
    bids = [[f"{99 - place}", f"{5 * (place % 3 + 1)}"] for place in range(count)]
    asks = [[f"{101 + place}", f"{5 * (place % 3 + 1)}"] for place in range(count)]
    report = imported(tmp_path, [snapshot(10, bids, asks), diff(11, 11, [["99", "0.25"]]), trade(1, qty="0.003")])
    assert report.instrument.qty(1) == report.instrument.qty(report.instrument.lots(step))


def test_exchange_filters_are_kept_unchanged(tmp_path):
    """A capture may hold the answer of exchangeInfo."""
    info = exchange_info("ABCUSDT", SYMBOL)
    report = imported(tmp_path, [info, *GOOD])
    day = folder(tmp_path)
    assert json.loads(day.instrument.read_text()) == info["symbols"][1]
    assert (report.inferred, report.instrument.base_asset) == ([], "SIM")
    assert events(day, "exchange_info") == [{"status": "TRADING"}]
    assert not defects_of(day)


def test_given_steps_override_those_of_the_capture(tmp_path):
    """The user's values take precedence over those of the capture."""
    report = imported(tmp_path, [exchange_info(SYMBOL), *GOOD], tick_size="0.01", qty_step="0.02", min_notional="5")
    filters = json.loads(folder(tmp_path).instrument.read_text())["filters"]
    assert [filters[0]["tickSize"], filters[1]["stepSize"], filters[2]["minNotional"]] == [
        "0.01000000",
        "0.02000000",
        "5.00000000",
    ]
    assert report.inferred == []
    assert report.warnings == []


@pytest.mark.parametrize("min_notional", [None, "0", "5"])
def test_unknown_minimum_notional_is_warned_of(tmp_path, min_notional):
    """Quotes of one quantity step are worth cents on most symbols; the exchange rejects orders under five dollars."""
    report = imported(tmp_path, GOOD, tick_size="0.1", qty_step="0.01", min_notional=min_notional)
    assert report.warnings == ([str(NO_MIN_NOTIONAL)] if min_notional is None else [])


def test_too_fine_tick_size_is_warned_of(tmp_path):
    """A wrong tick size would let quotes fill between the prices of the market."""
    messages = [snapshot(10), *(diff(number, number) for number in range(11, 130)), trade(1)]
    for place, tick_size, warned in (("fine", "0.01", True), ("right", "0.1", False)):
        (tmp_path / place).mkdir()
        report = imported(tmp_path / place, messages, tick_size=tick_size, qty_step="0.01", min_notional="5")
        assert [warning.split(": ")[0] for warning in report.warnings] == [
            "every price of the capture is a multiple of 0.1, 10 times tick size 0.01"
        ] * warned


def test_prices_off_the_grid_are_kept_and_reported(tmp_path):
    """Such prices were in the exchange's book; the ledger reports the steps of prices and quantities."""
    odd = diff(13, 13, [["99.95", "1.25"]])
    report = imported(tmp_path, [exchange_info(SYMBOL), *GOOD, odd, diff(14, 14)])
    day = folder(tmp_path)
    assert [last_id for _, last_id, _, _ in frames(day)] == [11, 12, 13, 14]
    assert events(day, "anomaly") == [{"kind": "grid", "tick_size": "0.05", "step_size": "0.05", "from_seq": 0}]
    assert not defects_of(day)
    assert "off tick size 0.1 or quantity step 0.1" in report.warnings[0]


@pytest.mark.parametrize(("first", "then"), [("0.1", "0.05"), ("0.05", "0.1")])
def test_grid_changes_in_the_capture_are_kept_as_history(tmp_path, first, then):
    """Finer or coarser: old prices stay valid for resting orders."""
    odd = diff(13, 13, [["99.95", "1"]])
    capture = [exchange_info(SYMBOL, tick=first), *GOOD, exchange_info(SYMBOL, tick=then), odd, diff(14, 14)]
    imported(tmp_path, capture)
    day = folder(tmp_path)
    assert events(day, "anomaly") == []
    assert not defects_of(day)
    history = json.loads(day.instrument.read_text())["history"]
    assert [Decimal(entry["tick_size"]) for entry in history] == [Decimal(first), Decimal(then)]
    assert [entry["from_us"] for entry in history] == [0, NOON_US + 600_000]


def test_too_coarse_tick_size_raises_off_grid(tmp_path):
    """The error suggests a tick size; nothing is written."""
    with pytest.raises(OffGrid, match=r"such as 99\.90, are not multiples of tick size 1, .* multiple of 0\.1: give"):
        imported(tmp_path, GOOD, tick_size="1")
    assert not folder(tmp_path).path.exists()


def test_only_the_requested_symbol_is_imported(tmp_path):
    """Messages of other symbols are ignored."""
    other = [diff(5, 5, symbol="ABCUSDT"), trade(9, symbol="ABCUSDT"), ticker(5, symbol="ABCUSDT")]
    report = imported(tmp_path, [*other, *GOOD[1:], *other], symbol=SYMBOL.lower())
    assert (report.symbol, report.days[0].lines) == (SYMBOL, 4)
    assert len(rows(folder(tmp_path).trades)) == 1


def test_missing_symbol_error_lists_the_available_symbols(tmp_path):
    """Nothing is written."""
    with pytest.raises(Mismatch, match=r"no message of XYZ; symbol can be ABCUSDT, SIMUSDT"):
        imported(tmp_path, [diff(1, 1), trade(1, symbol="ABCUSDT")], symbol="XYZ")
    assert not (tmp_path / "data").exists()


def test_snapshot_without_a_symbol_does_not_hide_a_missing_symbol(tmp_path):
    """The remedy is another symbol, not another capture."""
    with pytest.raises(Mismatch, match=r"no message of XYZ; symbol can be SIMUSDT"):
        imported(tmp_path, GOOD, symbol="XYZ")
    assert not (tmp_path / "data").exists()


def test_capture_without_market_data_raises_broken_file(tmp_path):
    """Its lines have a known form, but none is recorded in a day."""
    with pytest.raises(BrokenFile, match="no depth, trade or bookTicker message"):
        imported(tmp_path, [{"result": None, "id": 1}])


def test_snapshot_without_a_symbol_among_several_symbols_is_rejected(tmp_path):
    """The snapshot could silently become the book of another symbol."""
    with pytest.raises(BrokenFile, match=r"contains ABCUSDT, SIMUSDT, and the snapshot at capture_0\.gz:1 has no s"):
        imported(tmp_path, [*GOOD, trade(1, symbol="ABCUSDT"), trade(2, symbol="ABCUSDT")])
    assert not (tmp_path / "data").exists()


def test_single_damaged_symbol_name_does_not_reject_the_capture(tmp_path):
    """A flipped bit must not cost the whole day."""
    assert imported(tmp_path, [*GOOD, diff(13, 13, symbol="SIMUSDU"), diff(14, 14)]).days[0].book.gaps == 1


def test_truncated_capture_keeps_its_whole_lines_and_is_reported(tmp_path):
    """Lost data is reported in the ledger and in the report."""
    packed = gzip.compress(lines([snapshot(10), *(diff(n, n) for n in range(11, 500))]))
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) * 2 // 3])
    report = imported(tmp_path, tmp_path / "cut.gz")
    (capture,) = report.captures
    assert capture.ends_early
    assert 200 < len(frames(folder(tmp_path))) < 450
    (anomaly,) = events(folder(tmp_path), "anomaly")
    assert (anomaly["kind"], anomaly["file"]) == ("capture_cut", "cut.gz")
    assert any(line.startswith("lost: cut.gz: the gzip stream ends early") for line in report.lines())
    assert not defects_of(folder(tmp_path))


def test_import_never_changes_an_existing_day(tmp_path):
    """A second import fails and leaves every byte unchanged."""
    imported(tmp_path, GOOD)
    day = folder(tmp_path)
    before = {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()}
    with pytest.raises(RunExists, match=f"{DAY} already contains a recorded day"):
        imported(tmp_path, GOOD)
    assert {path: path.read_bytes() for path in day.path.rglob("*") if path.is_file()} == before
    assert [path.name for path in day.path.parent.iterdir()] == [DAY]


def test_interrupted_import_leaves_no_files(tmp_path):
    """Ctrl-C during the import."""
    capture = write(tmp_path / "c.gz", GOOD)

    def stop(done):
        if done == capture.stat().st_size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files([capture], tmp_path / "data", progress=stop)
    assert not (tmp_path / "data").exists()


def test_two_imports_write_the_same_bytes(tmp_path):
    """No clock, no host and no order of a set gets into the files."""
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        imported(tmp_path / name, [*GOOD, diff(15, 15), diff(15, 15)])
        path = folder(tmp_path / name).path
        files = sorted(file for file in path.rglob("*") if file.is_file())
        digests.append([(str(f.relative_to(path)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files])
    assert digests[0] == digests[1]


def test_progress_counts_the_bytes_of_all_captures(tmp_path):
    """Progress never decreases and ends at the total."""
    paths = [write(tmp_path / name, GOOD) for name in ("a.gz", "b")]
    reported = []
    import_files(paths, tmp_path / "data", progress=reported.append)
    total = sum(path.stat().st_size for path in paths)
    assert reported == sorted(reported)
    assert reported[-1] == total


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tick_size": "0"}, r"tick_size '0'"),
        ({"qty_step": "abc"}, r"qty_step 'abc'"),
        ({"min_notional": "-1"}, r"min_notional '-1'"),
        ({"trade_stream": "depth"}, r"trade_stream 'depth'"),
    ],
)
def test_wrong_options_raise_usage_error_with_flag_and_value(options, message, tmp_path):
    """The message contains name and value."""
    with pytest.raises(UsageError, match=message):
        import_files([], tmp_path, **options)


def test_import_without_captures_raises_usage_error(tmp_path):
    """There is no default capture."""
    with pytest.raises(UsageError, match="no capture was given"):
        import_files([], tmp_path)


@st.composite
def recordings(draw):
    """The true book after each id, and its recording with messages dropped, repeated, merged and swapped."""
    prices = st.tuples(st.sampled_from("ba"), st.integers(1, 8), st.sampled_from(["0.0", "1.5", "2"]))
    changes = draw(st.lists(prices, min_size=5, max_size=40))
    side = {"b": lambda step: f"{100 - step}.00", "a": lambda step: f"{100 + step}.00"}
    truth = [LocalOrderBook()]
    for which, step, qty in changes:
        book = LocalOrderBook.of(*truth[-1].levels())
        book.apply(1 if which == "b" else -1, side[which](step), qty)
        truth.append(book)
    messages, at = [], 0
    while at < len(changes):
        first, at = at + 1, min(len(changes), at + draw(st.integers(1, 4)))
        levels = {"b": [], "a": []}
        for which, step, qty in changes[first - 1 : at]:
            levels[which].append([side[which](step), qty])
        message = diff(first, at, levels["b"], levels["a"])
        messages += [message] * draw(st.sampled_from([0, 1, 1, 1, 1, 2]))
        if draw(st.integers(0, 4)) == 0:
            messages.append(draw(st.integers(0, at).map(lambda n: snapshot(n, *map(list, truth[n].levels())))))
    for _ in range(draw(st.integers(0, 2))):
        where = draw(st.integers(0, max(0, len(messages) - 2)))
        messages[where : where + 2] = reversed(messages[where : where + 2])
    return truth, [snapshot(0, [], []), *messages]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(recordings())
def test_frames_match_the_true_book_despite_lost_messages(tmp_path_factory, recording):
    """Every frame is the exchange's book at its id, and the check finds no defects."""
    truth, messages = recording
    tmp_path = tmp_path_factory.mktemp("recording")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # crash safety is not tested here
        imported(tmp_path, messages)
    day = folder(tmp_path)
    none = ("", "")
    for _, last_id, bid, ask in frames(day):
        bids, asks = truth[last_id].top(1)
        assert (bid, ask) == (bids[0] if bids else none, asks[0] if asks else none)
    assert defects_of(day) == []
    shutil.rmtree(tmp_path)


def market(tmp_path, name, symbol, *patterns, **options):
    paths = [path for pattern in patterns for path in sorted((SHARED / "data" / name).glob(pattern))]
    report = import_files(paths, tmp_path / "data", symbol, **options)
    for day in report.days:
        assert day.book.gaps == day.trade_gaps == day.clock_steps == day.quarantined == 0
    return report


@shared
def test_import_of_nexousdt_days(tmp_path):
    """24 hours across midnight in Berlin: no id is lost, and every comparable bookTicker agrees."""
    report = market(tmp_path, "binance-spot-nexousdt-20240723-24", "NEXOUSDT", "*.gz")
    assert [day.day for day in report.days] == ["20240723", "20240724"]
    assert sum(day.book.diffs for day in report.days) == sum(day.book.frames for day in report.days) == 68_182
    assert sum(day.trades for day in report.days) == 12_458
    assert (report.compared, report.agreed) == (12_197, 12_197)
    assert report.instrument.tick_e8 == 100_000
    assert [tags(folder(tmp_path, day.day, "NEXOUSDT"))[0][0] for day in report.days] == ["initial", "carried"]
    assert -45_000 < report.days[1].clock_offset_us < -35_000


@shared
def test_import_of_busy_btcusdt_minutes(tmp_path):
    """Nanosecond stamps, a snapshot after the first diffs, and a clock that is 1.27 s behind."""
    report = market(tmp_path, "binance-spot-btcusdt-20240808-09", "BTCUSDT", "*.gz")
    (day,) = report.days
    assert (day.day, day.book.diffs, day.trades) == ("20240809", 6_495, 19_904)
    assert (report.compared, report.agreed) == (1_059, 1_059)
    assert day.book.frames == 6_493
    assert -1_276_000 < day.clock_offset_us < -1_259_000


def table(path):
    """Return the rows of a packed CSV, each with its receive stamp in ns."""
    with gzip.open(path, "rt", newline="") as stream:
        return [row | {"ns": int(row["recv_tsec"]) * 10**9 + int(row["recv_tnsec"])} for row in csv.DictReader(stream)]


@shared
def test_frames_match_the_published_top_five_levels(tmp_path):
    """Frames begin with the five levels that the venue published at the same id."""
    limit = csv.field_size_limit(10**7)
    home = SHARED / "data/binance-spot-btcusdt-20260607-depth5"
    (main,), (rest,) = home.glob("*sample.csv.gz"), home.glob("*snapshots.csv.gz")
    received, answers = table(main), table(rest)
    csv.field_size_limit(limit)
    stamped = sorted((row for row in received + answers if row.get("stream_kind") != "depth5"), key=lambda r: r["ns"])
    imported(
        tmp_path,
        write(tmp_path / "c.gz", "".join(f"{row['ns']} {row['payload_json']}\n" for row in stamped).encode()),
        symbol="BTCUSDT",
    )
    published = [json.loads(row["payload_json"]) for row in received if row["stream_kind"] == "depth5"]
    frame_of = {int(row["last_update_id"]): row for row in rows(folder(tmp_path, "20260607", "BTCUSDT").frames)}
    compared = 0
    for theirs in published:
        ours = frame_of.get(theirs["lastUpdateId"])
        if ours:
            for side in ("bid", "ask"):
                levels = [[ours[f"{side}{n}_price"], ours[f"{side}{n}_qty"]] for n in range(1, 6)]
                assert levels == theirs[f"{side}s"]
            compared += 1
    assert compared == 593


@shared
@pytest.mark.parametrize(
    ("symbol", "diffs", "trades"), [("BTCUSDT", 899, 1_227), ("ETHUSDT", 909, 506), ("DOTUSDT", 880, 177)]
)
def test_import_of_each_symbol_of_a_shared_capture(tmp_path, symbol, diffs, trades):
    """Diffs before and after the required snapshot, and aggregate trades."""
    (day,) = market(tmp_path, "binance-spot-multi-20210404", symbol, "*.gz").days
    assert (day.book.diffs, day.trades, day.book.epochs, day.book.anomalies) == (diffs, trades, 1, {})
    assert not defects_of(folder(tmp_path, day.day, symbol))


@shared
@pytest.mark.skipif(not shutil.which("zstd"), reason="needs the program zstd")
@pytest.mark.parametrize(("symbol", "diffs"), [("NKNUSDT", 150), ("LRCBTC", 15), ("BLZETH", 10), ("RUNEEUR", 2)])
def test_import_of_nearly_silent_streams_with_their_filters(tmp_path, symbol, diffs):
    """Snapshots before all other messages bridge, and the exchange's filters are used."""
    packed = SHARED / "data/binance-spot-quiet-20211012/BINANCE.jsonl.zst"
    capture = tmp_path / "quiet.jsonl"
    with capture.open("wb") as plain:
        subprocess.run(["zstd", "-dcq", str(packed)], stdout=plain, check=True)
    report = import_files([capture], tmp_path / "data", symbol)
    (day,) = report.days
    assert (day.book.diffs, day.book.epochs, day.clock_steps, report.compared) == (diffs, 1, 0, report.agreed)
    assert (report.inferred, json.loads(folder(tmp_path, day.day, symbol).instrument.read_text())["symbol"]) == (
        [],
        symbol,
    )


@shared
@pytest.mark.parametrize(
    ("pattern", "description"),
    [
        ("binance-spot-btcusdt-20260607-depth5/*sample.csv.gz", "a CSV table"),
        ("binance-spot-trxusdt-20250304-us/*trade*", "a CSV table"),
        ("binance-spot-btcusdt-20260216-frames/lob*", "a Parquet file"),
        ("binance-spot-quiet-20211012/*", "a zstd file"),
        ("bitstamp-btcusd-20150501-l3/*", "a bzip2 file"),
        ("hyperliquid-btc-wlfi-20250904/orderbooks_BTC*", "a CSV table"),
    ],
)
def test_other_recordings_raise_one_line_broken_file(tmp_path, pattern, description):
    """The error contains the path, the form found and the accepted forms; nothing is written."""
    (path,) = (SHARED / "data").glob(pattern)
    with pytest.raises(BrokenFile, match=description) as error:
        import_files([path], tmp_path / "data", "BTCUSDT")
    message = str(error.value)
    assert message.startswith(str(path))
    assert "accepted" in message
    assert "\n" not in message
    assert not (tmp_path / "data").exists()


def test_module_runs_as_a_command(tmp_path):
    """`python -m mm.market_data.import_capture` is `mm data import`."""
    write(tmp_path / "capture.gz", GOOD)
    done = run_python("-m", "mm.market_data.import_capture", "capture.gz", "--symbol", SYMBOL, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert not defects_of(folder(tmp_path))


def test_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    """The first line often is the snapshot, without which the day has no book."""
    for name in ("plain", "marked"):
        (tmp_path / name).mkdir()
    plain = imported(tmp_path / "plain", [snapshot(10), diff(11, 11, [["99", "0.25"]])])
    (packed,) = (tmp_path / "plain").glob("*.gz")
    marked = tmp_path / "marked.dat"
    marked.write_bytes(b"\xef\xbb\xbf" + gzip.decompress(packed.read_bytes()))
    report = imported(tmp_path / "marked", marked)
    assert report.days[0].synced
    assert frames(folder(tmp_path / "marked")) == frames(folder(tmp_path / "plain"))
    assert not report.days[0].book.anomalies
    assert plain.days[0].synced


def test_file_name_that_is_no_utf8_is_written_as_text(tmp_path):
    """A name in another encoding, or read in an ASCII locale, must not end the import."""
    report = imported(tmp_path, write(tmp_path / os.fsdecode(b"caf\xe9.txt"), GOOD))
    assert report.captures[0].name == "caf\ufffd.txt"
    assert events(folder(tmp_path), "run_start")[0]["knobs"]["captures"] == ["caf\ufffd.txt"]
