"""USD-M futures: rule of update ids, addresses, limits, funding, and captures."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from captured import (
    ASKS,
    BIDS,
    DAY,
    NOON_US,
    SYMBOL,
    decoder,
    diff,
    events,
    folder,
    frames,
    import_files,
    imported,
    rows,
    snapshot,
    trade,
    write,
)
from day_files import covered, defects_of
from hand_fed import answer
from mm import DayFolder, load_day
from mm.clock import midnight_us, next_day
from mm.errors import BrokenFile, OffGrid, UsageError
from mm.markets.binance_usdm import BINANCE_USDM
from mm.markets.feed import feed_of
from mm.markets.funding import FundingState
from mm.markets.messages import DepthUpdate, Funding, MarkPrice, Other, Unreadable, WrongMarket
from mm.markets.registry import MARKETS
from named import is_kind
from support import SHARED, run_mm

shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared")
MS = NOON_US // 1000


def update(previous_id, first, last, bids=(), asks=ASKS):
    """Return a depth message of the ids *first* to *last* that follows *previous_id*."""
    message = diff(first, last, bids, asks)
    message["data"] |= {"pu": previous_id, "T": MS}
    return message


def book(last_id):
    return snapshot(last_id) | {"E": MS, "T": MS}


def mark(at_s, rate="0.00010000", paid_s=60, price="100.05"):
    payload = {"e": "markPriceUpdate", "E": MS + 1000 * at_s, "s": SYMBOL, "p": price, "i": "1", "r": rate}
    return {"stream": f"{SYMBOL.lower()}@markPrice@1s", "data": payload | {"T": MS + 1000 * paid_s}}


def read(message, symbol=SYMBOL):
    return decoder(symbol, BINANCE_USDM)[0].received(json.dumps(message))


def day(tmp_path):
    return folder(tmp_path)


def test_usdm_capture_becomes_a_usdm_day(tmp_path):
    """The first update spans the snapshot, each later `pu` is the last `u`; ids of other symbols are not a gap."""
    printed = trade(1)
    printed["data"] |= {"X": "MARKET"}
    imported(tmp_path, [update(90, 95, 99), book(103), update(99, 101, 110), update(110, 140, 150), printed])
    assert [frame[1] for frame in frames(day(tmp_path))] == [110, 150]
    assert not events(day(tmp_path), "gap")
    assert json.loads(day(tmp_path).schema.read_text())["venue"] == "binance-usdm"
    assert not defects_of(day(tmp_path))


@pytest.mark.parametrize("order", ["before", "after", "repeated"])
def test_update_that_ends_with_the_snapshot_is_applied(tmp_path, order):
    """The rule of this market drops ``u < lastUpdateId`` only, once; the recorder, check, coverage and tape agree."""
    equal = update(99, 101, 103, [["99.00", "7"]])
    begin = {"before": [equal, book(103)], "after": [book(103), equal], "repeated": [equal, book(103), equal]}[order]
    imported(tmp_path, [*begin, update(103, 104, 110, [["98.00", "1"]])])
    assert [frame[1] for frame in frames(day(tmp_path))] == [103, 110]
    assert not defects_of(day(tmp_path))
    tape = load_day(day(tmp_path))
    assert tape.event_id[is_kind(tape, "depth")].tolist() == [103, 110]
    assert (99.0, 7.0) in zip(*(tape.book_at(tape.end_us)[name] for name in ("bid_price", "bid_qty")), strict=True)
    assert covered(day(tmp_path)).excluded_s == pytest.approx(0.0, abs=1.0)


def test_spot_drops_an_update_that_ends_with_the_snapshot(tmp_path):
    """There the snapshot has it already."""
    imported(tmp_path, [snapshot(103), diff(101, 103, [["99.00", "7"]], ASKS), diff(104, 110, [["98.00", "1"]], ASKS)])
    assert [frame[1] for frame in frames(day(tmp_path))] == [110]


def kind(trade_id, price, qty, word):
    message = trade(trade_id)
    message["data"] |= {"p": price, "q": qty, "X": word}
    return message


def test_rows_that_were_no_executions_keep_only_their_ids(tmp_path):
    """Transfers at a bankruptcy price and empty rows move neither tick nor trades, and leave no gap of ids."""
    others = [("103.8041208", "3", "INSURANCE_FUND"), ("90.00", "2", "ADL"), ("0", "0", "NA"), ("95.00", "1", "RPI")]
    stream = [
        kind(1, "100.05", "1", "MARKET"),
        *(kind(n, *one) for n, one in enumerate(others, 2)),
        kind(6, "100.05", "2", "MARKET"),
    ]
    imported(tmp_path, [book(100), update(99, 101, 110), *stream, update(110, 111, 120)])
    assert [(row["trade_id"], row["qty"]) for row in rows(day(tmp_path).trades)] == [("1", "1"), ("6", "2")]
    noted = [event for event in events(day(tmp_path), "anomaly") if event["kind"] == "no_execution"]
    assert [(one["trade_id"], one["X"]) for one in noted] == [(n, one[2]) for n, one in enumerate(others, 2)]
    assert not events(day(tmp_path), "trade_gap")
    assert not defects_of(day(tmp_path))
    found = covered(day(tmp_path))
    assert found.trades.missing == 0
    tape = load_day(day(tmp_path))
    assert tape.instrument.tick_e8 % 1_000_000 == 0  # no finer than 0.01
    assert np.count_nonzero(is_kind(tape, "trade")) == 2


def test_matching_time_is_stored_and_is_the_exchange_time_of_the_book(tmp_path):
    """`T` stands beside `E` only where the message has it; the schema names it, and Parquet keeps it."""
    late, plain = update(110, 111, 120, [["99.00", "1"]]), update(120, 121, 130, [["99.00", "2"]])
    late["data"] |= {"E": MS + 400, "T": MS - 7}
    del plain["data"]["T"]
    imported(tmp_path, [book(100), update(99, 101, 110), late, plain])
    stored = [json.loads(line) for line in gzip.decompress(day(tmp_path).diffs.read_bytes()).splitlines()]
    assert [(row["E"], row.get("T")) for row in stored] == [(MS, MS), (MS + 400, MS - 7), (MS, None)]
    keys = json.loads(day(tmp_path).schema.read_text())["columns"]["depth_diffs"]
    assert list(stored[1]) == keys
    assert not defects_of(day(tmp_path))
    tape = load_day(day(tmp_path))
    assert tape.event_exch_us[is_kind(tape, "depth")].tolist() == [1_000 * ms for ms in (MS, MS - 7, MS)]
    place = tmp_path / "out" / SYMBOL / DAY
    run_mm("data", "export", str(day(tmp_path).path), "--to", "parquet", "--out", str(place), cwd=tmp_path)
    run_mm("data", "import-parquet", str(place), "--data-root", str(tmp_path / "again"), cwd=tmp_path)
    again = DayFolder(tmp_path / "again", SYMBOL, DAY)
    assert gzip.decompress(again.diffs.read_bytes()) == gzip.decompress(day(tmp_path).diffs.read_bytes())


def test_update_with_another_pu_is_a_gap_until_the_next_snapshot(tmp_path):
    """`pu` is not the last `u`: the book is dropped, although the ids are close together."""
    messages = [book(100), update(99, 101, 110), update(111, 112, 120), update(120, 121, 130), book(125)]
    imported(tmp_path, [*messages, update(130, 131, 140)])
    (gap,) = events(day(tmp_path), "gap")
    assert (gap["from_id"], gap["to_id"]) == (111, 111)
    assert [frame[1] for frame in frames(day(tmp_path))] == [110, 130, 140]
    assert not defects_of(day(tmp_path))


def test_check_day_finds_a_lost_diff_row_by_the_id_rule(tmp_path):
    """`U` of USD-M is normally far from the last `u`, so that only the id rule shows the hole."""
    imported(tmp_path, [book(100), update(99, 101, 110), update(110, 118, 120), update(120, 140, 150)])
    path = day(tmp_path).diffs
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    assert [json.loads(line)["U"] for line in lines] == [100, 111, 121]
    path.write_bytes(gzip.compress(lines[0] + lines[2]))
    found = {defect.kind: defect.message for defect in defects_of(day(tmp_path))}
    assert "update ids 111 to 120 are missing before this row" in found["hole"]


@pytest.mark.parametrize(
    "ids",
    [(110, 101, 120), (100, 100, 120), (99, 121, 120)],
    ids=["pu behind U", "pu is U", "U behind u"],
)
def test_contradictory_ids_raise_unreadable(ids):
    with pytest.raises(Unreadable, match="after pu="):
        read(update(*ids))


def test_paid_funding_is_written_to_the_ledger(tmp_path):
    """Rate and mark price are those of the last message before; the time is that of the payment."""
    marks = [mark(57), mark(59, "0.00012000", price="100.10"), mark(61, paid_s=120), mark(62, paid_s=120)]
    imported(tmp_path, [book(100), update(99, 101, 110), *marks, update(110, 111, 120)])
    (paid,) = events(day(tmp_path), "funding")
    assert {key: paid[key] for key in ("rate", "mark_price", "paid_ms")} == {
        "rate": "0.00012000",
        "mark_price": "100.10",
        "paid_ms": MS + 60_000,
    }
    assert not defects_of(day(tmp_path))


def test_marks_liquidations_and_best_prices_of_a_capture_are_in_the_files_of_the_contract(tmp_path):
    """As a recorder writes them; each once, and the day has no defects."""
    forced = {"s": SYMBOL, "S": "BUY", "o": "LIMIT", "f": "IOC", "q": "2", "p": "101", "ap": "100.5", "X": "FILLED"}
    liquidation = {"e": "forceOrder", "E": MS + 58_000, "o": forced | {"l": "2", "z": "2", "T": MS + 57_990}}
    ticker = {"e": "bookTicker", "s": SYMBOL, "u": 110, "b": "100.00", "B": "1.000", "a": ASKS[0][0], "A": ASKS[0][1]}
    name = SYMBOL.lower()
    messages = [
        *(book(100), update(99, 101, 110), mark(57), mark(57)),
        *[{"stream": f"{name}@forceOrder", "data": liquidation}] * 2,
        *[{"stream": f"{name}@bookTicker", "data": ticker | {"E": MS + 58_001, "T": MS + 58_000}}] * 2,
        update(110, 111, 120),
    ]
    imported(tmp_path, messages)
    found = day(tmp_path)
    told = [line.split(",") for line in found.contract.read_text().splitlines()[1:]]
    assert [row[4] for row in told] == ["mark", "liquidation"]
    assert [row[11:17] for row in told[1:]] == [["buy", "101", "100.5", "2", "2", "FILLED"]]
    (best,) = found.best.read_text().splitlines()[1:]
    assert best.split(",")[4:6] == ["110", "100.00"]
    assert not defects_of(found)


def test_payment_without_a_mark_price_before_it_has_the_next_price_and_a_doubt():
    """No message arrived in the last minute before the payment."""
    state = FundingState()
    assert state.marked(MarkPrice(MS, SYMBOL, "1", "0.1", MS + 60_500)) == []
    paid, doubt = state.marked(MarkPrice(MS + 61_000, SYMBOL, "2", "0.3", MS + 120_000))
    assert paid == Funding(MS + 60_000, "0.1", "2")
    assert (doubt.paid_ms, doubt.why[:22]) == (MS + 60_000, "no mark price from 202")
    assert state.ended((MS + 110_000) * 1_000) == []
    (last,) = state.ended((MS + 121_000) * 1_000)
    assert (last.paid_ms, "last mark price" in last.why) == (MS + 120_000, True)


def test_late_payment_has_the_mark_of_its_instant():
    """Messages may name a payment for a while after it was due, with prices and rates of later."""
    state, due = FundingState(), MS + 60_000
    told = [(59_000, "5", "0.1"), (60_000, "6", "0.2"), (61_000, "7", "0.3"), (75_000, "8", "0.4")]
    for ms, price, rate in told:
        assert state.marked(MarkPrice(MS + ms, SYMBOL, price, rate, due)) == []
    assert state.marked(MarkPrice(MS + 76_000, SYMBOL, "9", "0.5", due + 3_600_000)) == [Funding(due, "0.2", "6")]


def test_payments_in_a_long_pause_or_without_mark_prices_are_unknown():
    hours, state = 3_600_000, FundingState()
    day = MS - MS % (24 * hours)
    assert [state.passed((day + at * hours) * 1_000) for at in (1, 7)] == [[], []]
    assert [one.paid_ms for one in state.passed((day + 9 * hours) * 1_000)] == [day + 8 * hours]
    state.marked(MarkPrice(day + 9 * hours, SYMBOL, "1", "0.1", day + 16 * hours))
    found = state.marked(MarkPrice(day + 33 * hours, SYMBOL, "1", "0.1", day + 40 * hours))
    assert [one.paid_ms - day for one in found if isinstance(one, Funding)] == [16 * hours]
    assert [one.paid_ms - day for one in found if not isinstance(one, Funding)] == [16 * hours, 24 * hours, 32 * hours]
    assert state.passed((day + 41 * hours) * 1_000) == []


_HOUR_MS = 3_600_000
_DAY_MS = MS - MS % (24 * _HOUR_MS)


def story(intervals, pause):
    """Return the mark prices of a day, each minute, with the interval in hours from minutes on; and what was due.

    Marks in the *pause*, a span of minutes, are lost.
    """
    marks, due, announced = [], [], 0
    for minute in range(24 * 60):
        E = _DAY_MS + minute * 60_000 + 500
        length = next(hours for begin, hours in reversed(intervals) if minute >= begin) * _HOUR_MS
        T = (E // length + 1) * length
        if announced and announced <= E:
            due.append(announced)
        announced = T
        if not pause[0] <= minute < pause[1]:
            marks.append(MarkPrice(E, SYMBOL, "1", "0.1", T))
    return marks, due


@given(
    st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.integers(1, 1_438)),
    st.tuples(st.integers(0, 1_440), st.integers(0, 1_440)).map(sorted),
)
def test_every_payment_is_booked_or_doubted_whatever_pauses(intervals, pause):
    """Intervals of any length, a change in either direction, a pause anywhere; without one, nothing is doubted.

    A change in the pause, or so shortly before it that no payment has shown it, cannot be known.
    """
    first, then, at = intervals
    assume(first == then or not pause[0] - 16 * 60 <= at <= pause[1])
    marks, due = story([(0, first), (at, then)], pause)
    state, found = FundingState(), []
    state.passed(_DAY_MS * 1_000)
    for mark in marks:
        found += state.passed(mark.E * 1_000) + state.marked(mark)
    found += state.ended((_DAY_MS + 24 * _HOUR_MS - 60_000) * 1_000)
    booked = [one.paid_ms for one in found if isinstance(one, Funding)]
    doubted = {one.paid_ms for one in found if not isinstance(one, Funding)}
    assert len(booked) == len(set(booked))
    assert set(booked) <= set(due) | doubted
    if pause[1] - pause[0] <= 1:
        assert (booked, doubted) == (due, set())
    elif marks:
        assert set(due) <= set(booked) | doubted
        span = range(_DAY_MS + (pause[0] - 1) * 60_000, _DAY_MS + (pause[1] + 1) * 60_000)
        assert all(ms in span for ms in doubted)


def test_pause_over_the_border_of_two_days_is_doubted_in_both(tmp_path):
    """A day alone must not lack the payments that its own marks did not reach."""
    day_us = midnight_us(next_day(DAY))
    before, after = day_us - 3_700 * 10**6, day_us + 4_000 * 10**6

    def at(us, next_us):
        content = {"e": "markPriceUpdate", "E": us // 1000, "s": SYMBOL, "p": "1", "r": "0.1", "T": next_us // 1000}
        return {"stream": "simusdt@markPrice", "data": content}

    hour = 3_600 * 10**6
    captures = [
        write(tmp_path / "a", [book(100), update(99, 101, 110), at(before, day_us - hour)], from_us=before - 2 * 10**5),
        write(tmp_path / "b", [update(110, 111, 120)], from_us=day_us - 10**6),
        write(tmp_path / "c", [update(120, 121, 130)], from_us=day_us + 10**6),
        write(tmp_path / "d", [at(after, day_us + 2 * hour), update(130, 131, 140)], from_us=after),
    ]
    imported(tmp_path, *captures)
    for name, due in ((DAY, {day_us - hour}), (next_day(DAY), {day_us - hour, day_us, day_us + hour})):
        doubts = [one for one in events(folder(tmp_path, name), "anomaly") if one["kind"] == "funding_doubt"]
        assert {one["paid_ms"] * 1_000 for one in doubts} == due


def test_payments_while_rest_did_not_answer_are_doubts():
    """Of the interval between the last two payments, else every eight hours."""
    state = FundingState()
    span = (_DAY_MS + 7 * _HOUR_MS) * 1_000, (_DAY_MS + 9 * _HOUR_MS) * 1_000
    assert [one.paid_ms for one in state.unanswered(*span)] == [_DAY_MS + 8 * _HOUR_MS]
    state.new([Funding(_DAY_MS + hours * _HOUR_MS, "0.1", "1") for hours in (6, 7)])
    assert [one.paid_ms for one in state.unanswered(*span)] == [_DAY_MS + hours * _HOUR_MS for hours in (8, 9)]


def test_payments_from_rest_and_stream_are_reported_once():
    """REST repeats payments each minute, some ms late; payments before the start are dropped."""
    state = FundingState(since_us=1_000_000_000)
    paid = [Funding(900_000, "0.1", "5"), Funding(2_000_003, "0.2", "6")]
    assert state.new(paid) == [Funding(2_000_000, "0.2", "6")]
    assert state.new(paid) == []
    assert state.marked(MarkPrice(1_999_000, SYMBOL, "6", "0.2", 2_000_000)) == []
    assert state.marked(MarkPrice(2_001_000, SYMBOL, "6", "0.3", 3_000_000)) == []


def test_rest_payments_are_sorted_and_invalid_ones_dropped():
    body = [
        {"symbol": "X", "fundingTime": 3, "fundingRate": "0.1", "markPrice": "7"},
        {"symbol": "X", "fundingTime": 2, "fundingRate": "-0.1", "markPrice": "6"},
        {"symbol": "X", "fundingTime": 1, "fundingRate": "0.1", "markPrice": ""},
        {"symbol": "X", "fundingTime": 1, "fundingRate": "high", "markPrice": "5"},
    ]
    assert BINANCE_USDM.payments(json.dumps(body).encode()) == [Funding(2, "-0.1", "6"), Funding(3, "0.1", "7")]


@pytest.mark.parametrize(
    "messages",
    [
        [book(100), update(99, 101, 110), diff(111, 120, asks=ASKS)],
        [diff(1, 2, BIDS, ASKS), update(2, 3, 4)],
        [snapshot(100), update(99, 101, 110)],
    ],
    ids=["usdm, then spot", "spot, then usdm", "a snapshot of spot"],
)
def test_capture_of_two_markets_raises_broken_file(tmp_path, messages):
    """The error contains the line of the first futures message, and nothing is written."""
    with pytest.raises(BrokenFile, match=r"capture_0\.gz:\d: .* belongs to futures"):
        imported(tmp_path, messages)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "BTCUSD_260327"])
def test_coin_margined_contracts_are_rejected(tmp_path, symbol):
    """The profit of these contracts is not linear in the price."""
    message = diff(101, 110, asks=ASKS, symbol=symbol)
    message["data"]["pu"] = 99
    capture = write(tmp_path / "capture.gz", [message])
    with pytest.raises(BrokenFile, match=rf"{symbol} is an inverse contract \(COIN-M\)"):
        import_files([capture], tmp_path / "data", symbol)
    with pytest.raises(WrongMarket, match="coin-margined"):
        decoder(symbol, BINANCE_USDM)[0]


def test_mark_prices_decode_and_must_be_decimals():
    assert isinstance(read(mark(1)), MarkPrice)
    assert type(read(mark(1), "OTHER")) is Other
    with pytest.raises(OffGrid, match="high"):
        read(mark(1, price="high"))


def test_depth_message_ids_are_converted_to_ranges():
    """With plain levels and with levels packed for the kernel."""
    for packs in (False, True):
        packing = decoder(SYMBOL, BINANCE_USDM, packs=packs)[0]
        for _ in range(2):  # the second one takes the fast path of its stream
            message = packing.received(json.dumps(update(99, 101, 110), separators=(",", ":")).encode())
            assert isinstance(message, DepthUpdate)
            assert (message.U, message.u, message.pu) == (100, 110, 99)


@pytest.mark.parametrize(
    ("wanted", "levels", "weight"), [(5000, 1000, 20), (1000, 1000, 20), (101, 500, 10), (3, 5, 2)]
)
def test_snapshot_levels_are_limited_to_those_of_the_market(wanted, levels, weight):
    assert BINANCE_USDM.levels(wanted) == levels
    request = BINANCE_USDM.depth("BTCUSDT", levels)
    assert (request.path, request.params["limit"], request.weight) == ("/fapi/v1/depth", str(levels), weight)


def test_unlisted_symbol_is_refused():
    """The exchange answers with a list of all symbols instead of an error."""
    known = answer(0, "u", b'{"symbols":[{"symbol":"A"}]}')
    assert BINANCE_USDM.refuses_symbol(known, "B")
    assert not BINANCE_USDM.refuses_symbol(known, "A")
    assert not BINANCE_USDM.refuses_symbol(answer(0, "u", b"", 503, "http 503"), "A")


def test_stream_url_rejects_agg_trades():
    """The exchange sends them under another path."""
    address = BINANCE_USDM.stream_url("wss://h", "BTCUSDT", "trade")
    assert address == "wss://h/public/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
    with pytest.raises(UsageError, match="use trade"):
        BINANCE_USDM.stream_url("wss://h", "BTCUSDT", "aggTrade")


@pytest.mark.parametrize(
    "url", ["wss://stream.binance.com:9443", "https://api.binance.com", "wss://dstream.binance.com", "https://dapi.b.c"]
)
def test_addresses_of_other_markets_raise_other_market(url):
    with pytest.raises(WrongMarket, match="host"):
        BINANCE_USDM.check_address(url)
    for market in map(feed_of, MARKETS.values()):
        for base in market.bases:
            market.check_address(base)


@shared
def test_recorded_usdm_market_is_imported_completely(tmp_path):
    """Counts are those of its README, less a transfer; the book equals the exchange's best prices."""
    captures = sorted((SHARED / "data" / "binance-usdm-btcusdt-20230404-05").glob("*.gz"))
    report = import_files(captures, tmp_path / "data", "BTCUSDT")
    (found,) = report.days
    assert (found.book.diffs, found.trades, found.book.gaps, found.book.epochs) == (16_110, 12_934, 0, 1)
    assert (report.compared, report.agreed) == (1_565, 1_565)
    place = folder(tmp_path, "20230405", "BTCUSDT")
    (paid,) = events(place, "funding")
    assert (paid["rate"], paid["mark_price"], paid["paid_ms"]) == ("0.00002760", "28155.10000000", 1_680_652_800_000)
    assert not defects_of(place)
    assert len(rows(place.trades)) == 12_934
