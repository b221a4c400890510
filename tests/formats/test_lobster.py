"""LOBSTER pairs as day folders: the book of the orderbook file after each message, New York time, hidden executions."""

import random
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from foreign_days import books_of, imported, write_csv

from captured import events
from day_files import defects_of
from mm import DayFolder, load_day
from mm.dayfolder.coverage import cover
from mm.errors import BrokenFile, Mismatch
from mm.formats import tables
from named import is_kind

LEVELS = 4
NINE_THIRTY = 34_200


def at_us(day, seconds):
    """Return a time of a summer day in New York, four hours behind UTC."""
    midnight = datetime(*map(int, day.split("-")), 4, tzinfo=timezone.utc)
    return int(midnight.timestamp()) * 1_000_000 + int(Decimal(seconds) * 1_000_000)


def pair(folder, messages, books, day="2012-06-21", ticker="AAPL", levels=LEVELS):
    """Write both files of a day."""
    name = f"{ticker}_{day}_34200000_57600000_{{}}_{levels}.csv"
    cells = []
    for bids, asks in books:
        row = []
        for n in range(levels):
            row += [*(asks[n] if n < len(asks) else (9999999999, 0)), *(bids[n] if n < len(bids) else (-9999999999, 0))]
        cells.append(row)
    return (
        write_csv(folder / name.format("message"), None, messages),
        write_csv(folder / name.format("orderbook"), None, cells),
    )


def market(seed, length=150):
    """Return messages, books (sides best first, cut to LEVELS) and trades of a random day of single orders."""
    rng = random.Random(seed)
    orders, messages, books, trades = {}, [], [], []
    seconds = Decimal(NINE_THIRTY)
    for number in range(1, 30):
        side = 1 if number % 2 else -1
        orders[number] = [side, 5_850_000 - side * 100 * rng.randint(1, 9), rng.randint(1, 300)]

    def visible_levels():
        sides = ({}, {})
        for side, price, size in orders.values():
            levels = sides[0] if side > 0 else sides[1]
            levels[price] = levels.get(price, 0) + size
        return sorted(sides[0].items(), reverse=True)[:LEVELS], sorted(sides[1].items())[:LEVELS]

    for number in range(30, 30 + length):
        seconds += Decimal(rng.randint(1_000, 900_000_000)) / 10**9
        kind = rng.choice((1, 1, 2, 3, 4, 5, 7))
        if kind == 1 or len(orders) < 12:
            kind, side = 1, rng.choice((1, -1))
            orders[number] = [side, 5_850_000 - side * 100 * rng.randint(1, 12), rng.randint(1, 300)]
            row = (number, orders[number][2], orders[number][1], side)
        elif kind == 5:
            row = (0, rng.randint(1, 50), 5_850_000 + rng.choice((0, 50)), rng.choice((1, -1)))
        elif kind == 7:
            row = (0, 0, rng.choice((-1, 0, 1)), -1)
        else:
            own = [key for key, order in orders.items() if order[0] == rng.choice((1, -1))] or list(orders)
            key = (
                max(own, key=lambda candidate: orders[candidate][0] * orders[candidate][1])
                if kind == 4
                else rng.choice(own)
            )
            side, price, size = orders[key]
            taken = size if kind == 3 else rng.randint(1, size)
            row = (key, taken, price, side)
            orders[key][2] -= taken
            if not orders[key][2]:
                del orders[key]
        if kind in (4, 5):
            trades.append((seconds, -row[3], Decimal(row[2]) / 10_000, row[1]))
        messages.append((f"{seconds:.9f}", kind, *row))
        books.append(visible_levels())
    return messages, books, trades


def as_prices(side):
    return {Decimal(price) / 10_000: Decimal(size) for price, size in side}


@pytest.mark.parametrize("seed", range(4))
def test_book_after_each_message_matches_the_orderbook_file(tmp_path, seed):
    messages, books, trades = market(seed)
    report = imported("lobster", pair(tmp_path, messages, books), tmp_path / "data", symbol="AAPL", qty_step="1")
    folder = DayFolder.at(report.days[0].path)
    books_found, printed = books_of(folder.path)
    expected = {}
    for message, (bids, asks) in zip(messages, books, strict=True):
        expected[at_us("2012-06-21", message[0])] = as_prices(bids), as_prices(asks)
    changed, before, halted = {}, None, False
    for message, (us, book) in zip(messages, expected.items(), strict=True):
        halted = message[4] != 1 if message[1] == 7 else halted and message[1] != 4  # an execution ends a halt too
        shown = None if halted else book  # None: there is no book
        if shown != before:
            changed[us] = before = shown
    assert books_found == changed
    assert printed == [(at_us("2012-06-21", s), side, price, Decimal(size)) for s, side, price, size in trades]
    assert defects_of(folder) == []
    halts = [details for details in events(folder, "anomaly") if details["kind"] == "trading_halt"]
    assert len(halts) == sum(message[1] == 7 for message in messages)


BOOK = ([(5_850_000, 10)], [(5_850_100, 20)])


def test_hidden_execution_is_a_trade_that_changes_no_level(tmp_path):
    """A seller's hidden order (-1) was taken by a buyer; one share is quantity 1, the time is New York's."""
    messages = [("34200.5", 1, 1, 10, 5_850_000, 1), ("34201.25", 5, 0, 7, 5_850_050, -1)]
    report = imported("lobster", pair(tmp_path, messages, [BOOK, BOOK]), tmp_path / "data", "AAPL", qty_step="1")
    books, trades = books_of(report.days[0].path)
    assert trades == [(1_340_285_401_250_000, 1, Decimal("585.005"), Decimal(7))]
    assert list(books) == [1_340_285_400_500_000]  # 13:30:00.5 UTC
    assert report.days[0].day == "20120621"


def test_hidden_executions_have_no_side_since_20140714(tmp_path):
    """NASDAQ masks their direction (always 1), so the mid signs them; until the day before, the direction does."""
    messages = [("34200.0", 1, 1, 10, 5_850_000, 1)]
    messages += [(f"3420{n}.0", 5, 0, n, price, 1) for n, price in enumerate((5_850_100, 5_850_075, 5_850_000), 1)]
    for day, sides in (("2014-07-11", [-1, -1, -1]), ("2014-07-14", [1, 1, -1])):
        files = pair(tmp_path, messages, [BOOK] * 4, day=day)
        report = imported("lobster", files, tmp_path / day, "AAPL", qty_step="1")
        assert [side for _, side, _, _ in books_of(report.days[0].path)[1]] == sides
        assert any(warning.startswith("3 trades have no side") for warning in report.warnings) == (day > "2014-07-13")


def test_halt_ends_the_book_until_trading_resumes(tmp_path):
    """The frozen book is no market: 330 of 340 s are excluded, and named, though quoting resumes in between."""
    rows = [("34200.0", 1, 1, 10, 5_850_000, 1), ("34205.0", 7, 0, 0, -1, -1), ("34505.0", 7, 0, 0, 0, -1)]
    rows += [("34520.0", 1, 2, 10, 5_850_000, 1), ("34535.0", 7, 0, 0, 1, -1), ("34540.0", 1, 3, 10, 5_850_000, 1)]
    changing = [([(5_850_000, 20)], BOOK[1]), ([(5_850_000, 30)], BOOK[1])]
    books = [BOOK, BOOK, BOOK, changing[0], changing[0], changing[1]]
    report = imported("lobster", pair(tmp_path, rows, books), tmp_path / "data", "AAPL", qty_step="1")
    folder = DayFolder.at(report.days[0].path)
    found = cover(folder)
    assert found.excluded_s == 330
    assert ["trading_halt" in span.cause for span in found.excluded] == [True]
    halt, resumed = (at_us("2012-06-21", s) for s in (34205, 34535))
    assert list(books_of(folder.path)[0]) == [at_us("2012-06-21", 34200), halt, resumed, at_us("2012-06-21", 34540)]
    tape = load_day(folder)
    assert tape.orders.dark(tape, None) == [(halt, resumed)]  # nor does the log cover it
    tape = load_day(folder)
    assert tape.event_us[is_kind(tape, "gap")].tolist() == [at_us("2012-06-21", 34205)]
    assert not defects_of(folder)


@pytest.mark.parametrize("block_bytes", [1 << 22, 2000])
@pytest.mark.parametrize("seed", range(4))
def test_hole_in_both_files_is_a_gap_of_its_time(tmp_path, monkeypatch, seed, block_bytes):
    """The book before is that up to the last message, after it a new one; a mere silence is none."""
    monkeypatch.setattr(tables, "BLOCK_BYTES", block_bytes)
    messages, books, _ = market(seed, length=300)
    halts = [row for row in range(len(messages)) if messages[row][1] == 7]
    kept = [row for row in range(len(messages)) if row not in halts]
    messages, books = [messages[row] for row in kept], [books[row] for row in kept]
    later = [(f"{Decimal(m[0]) + (60 if at >= 80 else 0):.9f}", *m[1:]) for at, m in enumerate(messages)]
    report = imported("lobster", pair(tmp_path, later, books), tmp_path / "quiet", symbol="AAPL", qty_step="1")
    assert report.days[0].to_json()["gaps"] == 0
    cut = slice(80, 180)
    del later[cut], books[cut]
    report = imported("lobster", pair(tmp_path, later, books), tmp_path / "holed", symbol="AAPL", qty_step="1")
    folder = DayFolder.at(report.days[0].path)
    last, first = (at_us("2012-06-21", later[at][0]) for at in (79, 80))
    assert [details["cause"] for details in events(folder, "gap")] == ["silence_and_other_book"]
    assert [(span.from_us <= last + 1, span.to_us) for span in cover(folder).excluded] == [(True, first)]
    assert any("1 times the book has changed without a message" in warning for warning in report.warnings)
    tape = load_day(folder)
    assert tape.orders.dark(tape, None)[0][1] == first
    assert not defects_of(folder)


def test_winter_time_is_five_hours_behind_utc(tmp_path):
    messages = [("34200.000000001", 1, 1, 10, 5_850_000, 1)]
    report = imported(
        "lobster", pair(tmp_path, messages, [BOOK], day="2012-01-05"), tmp_path / "data", "AAPL", qty_step="1"
    )
    assert report.days[0].first_us == 1_325_773_800_000_000


def test_days_are_read_in_order_of_date(tmp_path):
    messages = [("34200.5", 1, 1, 10, 5_850_000, 1)]
    later = pair(tmp_path, messages, [BOOK], day="2012-06-22")
    report = imported("lobster", [*later, *pair(tmp_path, messages, [BOOK])], tmp_path / "data", "AAPL", qty_step="1")
    assert [day.day for day in report.days] == ["20120621", "20120622"]


def test_cross_trades_are_left_out_with_a_warning(tmp_path):
    messages = [("34200.5", 1, 1, 10, 5_850_000, 1), ("34201", 6, -1, 500, 5_850_000, -1)]
    report = imported("lobster", pair(tmp_path, messages, [BOOK, BOOK]), tmp_path / "data", "AAPL", qty_step="1")
    assert report.days[0].trades == 0
    assert "1 cross trades (type 6) were left out: they repeat executions of an auction" in report.warnings


GOOD = [("34200.5", 1, 1, 10, 5_850_000, 1), ("34201.5", 1, 2, 10, 5_850_000, 1), ("34202.5", 4, 1, 3, 5_850_000, 1)]


def assert_rejected(tmp_path, messages, books, match, **names):
    files = pair(tmp_path, messages, books, **names)
    with pytest.raises(BrokenFile, match=match) as raised:
        imported("lobster", files, tmp_path / "data", symbol="AAPL", qty_step="1")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "data").exists()


def test_invalid_rows_raise_with_their_number(tmp_path):
    assert_rejected(tmp_path, [*GOOD[:2], ("noon", *GOOD[2][1:])], [BOOK] * 3, r"message_4\.csv:3: time is 'noon'")
    assert_rejected(tmp_path, [*GOOD[:2], ("34199", *GOOD[2][1:])], [BOOK] * 3, r"message_4\.csv:3: .* comes after")
    assert_rejected(tmp_path, [GOOD[0], ("34201", 9, *GOOD[1][2:])], [BOOK] * 2, r"message_4\.csv:2: type is '9'")
    assert_rejected(tmp_path, [GOOD[0], (*GOOD[1][:5], 3)], [BOOK] * 2, r"message_4\.csv:2: direction is '3'")
    assert_rejected(tmp_path, GOOD, [BOOK] * 2, r"orderbook_4\.csv:3: the file ends before .*message_4\.csv")
    assert_rejected(tmp_path, GOOD[:2], [BOOK] * 3, r"message_4\.csv:3: the file ends before .*orderbook_4\.csv")
    other = ([(5_849_900, 10)], BOOK[1])
    hidden = ("34201.25", 5, 0, 7, 5_850_050, -1)
    assert_rejected(tmp_path, [GOOD[0], hidden], [BOOK, other], r"orderbook_4\.csv:2: message 2 is of type 5")


def test_files_without_partner_or_of_another_stock_are_rejected(tmp_path):
    message, book = pair(tmp_path, GOOD, [BOOK] * 3)
    with pytest.raises(BrokenFile, match=r"message_4\.csv:1: the orderbook file of 20120621 is missing"):
        imported("lobster", [message], tmp_path / "data", symbol="AAPL")
    with pytest.raises(Mismatch, match=r"is of AAPL; symbol is MSFT"):
        imported("lobster", [message, book], tmp_path / "data", symbol="MSFT")
    plain = message.rename(tmp_path / "message.csv")
    with pytest.raises(BrokenFile, match="only the name has the date"):
        imported("lobster", [plain, book], tmp_path / "data", symbol="AAPL")
    ten = book.rename(tmp_path / book.name.replace("_4.csv", "_10.csv"))
    with pytest.raises(BrokenFile, match=r"orderbook_10\.csv:1: the message file of 20120621 is missing"):
        imported("lobster", [ten], tmp_path / "data", symbol="AAPL")
