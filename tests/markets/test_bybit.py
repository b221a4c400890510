"""Bybit's frames as messages, and the days imported from them."""

import gzip
import json
from collections import Counter
from decimal import Decimal
from itertools import count

import numpy as np
import pytest

import mm
from bybit_frames import SYMBOL, BybitMarket, OwnReplay
from captured import events, rows
from day_files import defects_of
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.recovery import recover
from mm.dayfolder.repair import repair_day
from mm.errors import UsageError
from mm.live.venues.accounts import account_of
from mm.market_data.capture_import import captures_of, import_captures
from mm.market_data.market_events import TradeArrived
from mm.market_data.market_state import MarketState, PreviousRun
from mm.markets.feed import feed_of
from mm.markets.grid import Grid
from mm.markets.messages import BookTicker, DepthSnapshot, DepthUpdate, ExchangeInfo, MarkPrice, Other, Several
from mm.markets.registry import MARKETS
from mm.report.backtest import page
from mm.report.frame import About
from mm.report.run_columns import columns_of
from mm.tape.columns import TRADE
from mm.tape.load import load_day

LINEAR, SPOT = MARKETS["bybit"], MARKETS["bybit-spot"]


def decoder(market=LINEAR):
    """Return a decoder of the made symbol."""
    return feed_of(market).decoder(SYMBOL, Grid())


def test_frames_of_the_book_are_a_whole_book_and_its_changes():
    """Times, ids and the matching engine's number keep the exchange's text and meaning."""
    made, read = BybitMarket(1), decoder()
    book = read.received(made.snapshot())
    assert isinstance(book, DepthSnapshot)
    assert (book.lastUpdateId, book.window, len(book.bids), len(book.asks)) == (made.u, 50, 50, 50)
    change = read.received(made.delta().encode())
    assert isinstance(change, DepthUpdate)
    assert (change.E, change.T, change.U, change.u, change.seq) == (made.ms + 2, made.ms, made.u, made.u, made.seq)


def test_topic_of_another_depth_or_symbol_is_not_the_book_of_the_day():
    """One topic is the book: two of them count their ids apart."""
    made, read = BybitMarket(1), decoder()
    assert isinstance(read.received(made.snapshot().replace("orderbook.50", "orderbook.1")), Other)
    assert isinstance(read.received(made.snapshot()), DepthSnapshot)
    assert isinstance(read.received(made.snapshot().replace("orderbook.50", "orderbook.200")), Other)
    assert isinstance(read.received(made.snapshot().replace(SYMBOL, "OTHER")), Other)


def test_prints_of_one_frame_come_one_by_one():
    """A taker's fills share a message and a number, and each is a trade."""
    made, read = BybitMarket(2), decoder()
    told = read.received(made.prints(3, rpi=True))
    assert isinstance(told, Several)
    assert [(row.seq, row.rpi, row.block) for row in told.messages] == [(made.seq, True, False)] * 3
    assert len({row.name for row in told.messages}) == 3


def test_ticker_of_a_contract_keeps_what_a_change_does_not_name():
    """An absent field has not changed."""
    read = decoder()
    best = {"bid1Price": "1.0", "bid1Size": "2", "ask1Price": "1.1", "ask1Size": "3"}
    mark = {"markPrice": "1.05", "indexPrice": "1.04", "fundingRate": "0.0001", "nextFundingTime": "1786320000000"}

    def ticker(kind, **data):
        told = {"topic": f"tickers.{SYMBOL}", "type": kind, "ts": 1_786_310_000_000, "cs": 7}
        return read.received(json.dumps({**told, "data": {"symbol": SYMBOL, **data}}))

    first, second = ticker("snapshot", **best, **mark).messages
    assert isinstance(first, BookTicker)
    assert isinstance(second, MarkPrice)
    changed = ticker("delta", bid1Size="5")
    assert isinstance(changed, BookTicker)
    assert (changed.b, changed.B, changed.a, changed.A) == ("1.0", "5", "1.1", "3")
    best, marked = ticker("delta", markPrice="1.06").messages
    assert (best.B, best.u) == ("5", 7)
    assert (marked.p, marked.i, marked.r, marked.T) == ("1.06", "1.04", "0.0001", 1_786_320_000_000)
    assert isinstance(ticker("delta", turnover24h="1"), BookTicker)


def test_instrument_is_of_its_own_market_and_displayed_places_are_no_grid():
    """The lists of both markets name the same symbols."""
    linear = {
        "symbol": SYMBOL,
        "status": "Trading",
        "priceScale": "4",
        "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.002", "minNotionalValue": "5"},
    }
    spot = linear | {"lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.00001", "minOrderAmt": "1"}}

    def listing(category, entry):
        return json.dumps({"retCode": 0, "result": {"category": category, "list": [entry]}})

    told = decoder().received(listing("linear", linear))
    assert isinstance(told, ExchangeInfo)
    assert isinstance(decoder().received(listing("spot", spot)), Other)
    for market, category, entry, step in (
        (LINEAR, "linear", linear, "0.001"),
        (SPOT, "spot", spot, "0.000001"),
    ):
        answer = decoder(market).answer(
            f"https://api.bybit.com/v5/market/instruments-info?category={category}", listing(category, entry)
        )
        filters = {one["filterType"]: one for one in json.loads(answer.text)["filters"]}
        assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == ("0.1", step)


def test_market_without_orders_is_refused_by_name():
    """It is recorded and played only."""
    with pytest.raises(UsageError, match="Bybit linear contracts is recorded and played only"):
        account_of("bybit")


def capture(path, frames, begin_us=1_786_000_000_100_000, step_us=100_000):
    """Write frames as a capture: a receive time before each."""
    path.write_text("".join(f"{begin_us + step_us * at} {text}\n" for at, text in enumerate(frames)))
    return path


def session(made, changes=60):
    """Return the frames of a while: prints come before the change that contains them."""
    frames = [made.snapshot()]
    for at in range(changes):
        if at % 5 == 2:
            frames.append(made.prints(1 + at % 3))
        frames.append(made.delta())
    return frames


def imported(path, market=None):
    """Import a capture, and return its only day."""
    data = path.with_name("data")
    form = market and captures_of(market)
    (day,) = import_captures([path], SYMBOL, data, run_id="r", form=form).days
    return DayFolder(data, SYMBOL, day.day)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "spot"])
def test_capture_without_a_name_is_taken_for_its_market(tmp_path, linear):
    """Prints of contracts have texts for ids, those of Spot numbers."""
    day = imported(capture(tmp_path / "frames.txt", session(BybitMarket(3, linear=linear))))
    assert json.loads(day.schema.read_text())["venue"] == ("bybit-linear" if linear else "bybit-spot")


def test_day_holds_every_change_and_print_and_the_book_after_each(tmp_path):
    """An independent replay of the frames has the same books and prints."""
    frames, replay = session(BybitMarket(4)), OwnReplay()
    day = imported(capture(tmp_path / "frames.txt", frames))
    books = []
    for text in frames:
        replay.take(text)
        if '"delta"' in text:
            books.append(replay.book())
    shown = [*rows(day.frames)]
    assert len(shown) == len(books)
    for row, book in zip(shown, books, strict=True):
        for name, side in (("bid", 1), ("ask", -1)):
            for level, (price, qty) in enumerate(book[side][:20], start=1):
                assert (Decimal(row[f"{name}{level}_price"]), Decimal(row[f"{name}{level}_qty"])) == (price, qty)
    trades = [*rows(day.trades)]
    assert [row["venue_trade_id"] for row in trades] == [told["i"] for told in replay.prints]
    assert [int(row["seq"]) for row in trades] == [told["seq"] for told in replay.prints]
    assert [int(row["trade_id"]) for row in trades] == [*range(1, len(trades) + 1)]
    with gzip.open(day.diffs, "rt") as stream:
        stored = [json.loads(line) for line in stream]
    told = [json.loads(text) for text in frames if '"delta"' in text]
    assert [(row["T"], row["u"], row["seq"], row["b"], row["a"]) for row in stored] == [
        (one["cts"], one["data"]["u"], one["data"]["seq"], one["data"]["b"], one["data"]["a"]) for one in told
    ]
    schema = json.loads(day.schema.read_text())
    assert (schema["book_depth"], schema["schema_version"]) == (50, 3)


def test_print_told_twice_is_one_trade(tmp_path):
    """Whatever repeats it, the exchange's own id says that it is known."""
    made = BybitMarket(5)
    frames = [made.snapshot(), made.delta(), twice := made.prints(2), made.delta(), twice, made.prints(), made.delta()]
    day = imported(capture(tmp_path / "frames.txt", frames))
    assert [int(row["trade_id"]) for row in rows(day.trades)] == [1, 2, 3]
    assert Counter(row["kind"] for row in events(day, "anomaly"))["duplicate"] == 2


def test_records_of_several_connections_are_taken_by_their_address(tmp_path):
    """Both markets name a topic alike; the connection tells them apart."""
    linear, spot, us = BybitMarket(6), BybitMarket(7, linear=False), count(1_786_000_000)
    lines = [{"t": "header", "exchange": "BYBIT"}]
    for conn, kind in (("a", "linear"), ("b", "spot")):
        addr = f"wss://stream.bybit.com/v5/public/{kind}"
        lines.append({"t": "connect", "conn": conn, "ts": next(us), "addr": addr})
    for mine, other in zip(session(linear), session(spot), strict=True):
        lines += [
            {"t": "recv", "conn": conn, "ts": next(us), "data": text} for conn, text in (("b", other), ("a", mine))
        ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for market, made in ((LINEAR, linear), (SPOT, spot)):
        (tmp_path / market.name).mkdir()
        (tmp_path / market.name / path.name).write_bytes(path.read_bytes())
        day = imported(tmp_path / market.name / path.name, market)
        assert not events(day, "gap")
        (last,) = [*rows(day.frames)][-1:]
        assert Decimal(last["bid1_price"]) == made.book()[1][0][0]


def test_run_says_what_a_day_does_not_show_and_which_fees_are_assumed(tmp_path):
    """Fees that nobody gave, levels beyond the window, prints that nothing proves complete."""
    tape = load_day(imported(capture(tmp_path / "frames.txt", session(BybitMarket(9), 200))).path)
    told = mm.backtest(tape, "fixed_spread", quote_params_json='{"delta_ticks": 1}')
    text = "\n".join(told.summary["warnings"])
    for words in ("best 50 levels a side", "not provable", "0.0002 (maker) and 0.00055 (taker)"):
        assert words in text
    given = mm.backtest(tape, "fixed_spread", quote_params_json='{"delta_ticks": 1}', maker_fee_rate="0.0001")
    assert "assumed" not in "\n".join(given.summary["warnings"])
    about = About(knobs={"maker_fee_rate": {"value": "0.001", "source": "default"}})
    for result, shown in ((told, False), (given, True)):  # the default of the knob was not played
        assert ("<th>maker_fee_rate</th><td>0.001" in page(result.summary, columns_of(result), about)) is shown


def test_prints_of_an_earlier_run_are_known_and_counted_on(tmp_path):
    """After a restart the exchange's ids of the file's last rows tell which prints are stored already."""
    made = BybitMarket(11)
    frames = session(made, 30)
    day = imported(capture(tmp_path / "frames.txt", frames))
    stored = [row["venue_trade_id"] for row in rows(day.trades)]
    before = recover(day)
    assert before.known_prints == tuple(stored)
    told = []
    previous = PreviousRun(trade_id=before.last_trade_id, known_prints=before.known_prints)
    numbers = LINEAR.trade_numbers
    state = MarketState(Grid(), (told.append,), top_n=5, before=previous, rule=LINEAR.rule, trade_numbers=numbers)
    read = decoder()
    again = next(text for text in frames if "publicTrade" in text)
    for text in (again, made.prints(1)):
        message = read.received(text)
        for row in getattr(message, "messages", [message]):
            state.take(1_786_000_009_000_000, row, 1)
    (new,) = [event.trade for event in told if isinstance(event, TradeArrived)]
    assert new.t == len(stored) + 1


@pytest.mark.parametrize("lost", ["trades", "diffs"])
def test_damaged_day_is_mended_with_all_its_columns(tmp_path, lost):
    """A repair knows the columns that the day declares."""
    day = imported(capture(tmp_path / "frames.txt", session(BybitMarket(12), 80)))
    path = getattr(day, lost)
    path.write_bytes(path.read_bytes()[:-40])
    assert defects_of(day)
    repaired = repair_day(day, "mend", 1_786_100_000_000_000)
    assert repaired.changed
    assert not defects_of(day)
    assert {*next(iter(rows(day.trades)))} >= {"venue_trade_id", "seq", "rpi", "block"}
    with gzip.open(day.diffs, "rt") as stream:
        assert all("seq" in json.loads(line) for line in stream)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "spot"])
def test_block_trades_are_of_the_day_and_not_of_the_tape(tmp_path, linear):
    """They were agreed outside the book: no fill, no rate, no flow; their ids are not missing."""
    made = BybitMarket(14, linear=linear)
    frames = [made.snapshot()]
    for number in range(60):
        frames += [made.prints(2, block=number % 3 == 0), made.delta()]
    day = imported(capture(tmp_path / "frames.txt", frames))
    assert [row["block"] for row in rows(day.trades)].count("true") == 40
    tape = load_day(day.path)
    trades = tape.kind == TRADE
    assert np.count_nonzero(trades) == 80
    books = [int(row["trade_id"]) for row in rows(day.trades) if row["block"] == "false"]
    assert tape.event_id[trades].tolist() == books
    assert [line for line in tape.meta.warnings if "40 trades were agreed outside the book" in line]
    assert not tape.meta.excluded


def test_trade_told_twice_in_the_file_is_a_defect(tmp_path):
    """The check knows the exchange's id, as the count alone would look right."""
    day = imported(capture(tmp_path / "frames.txt", session(BybitMarket(13))))
    first, second, *others = day.trades.read_text().splitlines()[1:]
    cells = second.split(",")
    cells[13] = first.split(",")[13]
    head = day.trades.read_text().splitlines()[0]
    day.trades.write_text("\n".join([head, first, ",".join(cells), *others]) + "\n")
    assert any("occurs twice" in defect.message for defect in defects_of(day))
