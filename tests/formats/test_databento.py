"""Databento MBO as day folders: levels of single orders at the end of each event, both spellings, broken records."""

import random
from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from foreign_days import START_US, books_of, imported, write_csv

from captured import events
from day_files import defects_of
from mm import DayFolder
from mm.errors import BrokenFile, Mismatch
from mm.formats import tables

HEAD = (
    *("ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action", "side", "price", "size"),
    *("channel_id", "order_id", "flags", "ts_in_delta", "sequence", "symbol"),
)
LAST, SNAPSHOT, BAD_TIME = 128, 32, 8


def record(us, action, side, price, size, number, flags=LAST):  # noqa: PLR0917
    """Return a record; the price is in hundredths."""
    nine = 2**63 - 1 if price is None else price * 10**7
    ns = us * 1000
    return [ns + 7, ns - 90_000, 160, 1, 5482, action, side, nine, size, 0, number, flags, 1_000, 1, "ESM4"]


def pretty(row):
    """Return a record as Databento writes it with pretty_ts and pretty_px."""
    row = list(row)
    for at in (0, 1):
        seconds, ns = divmod(row[at], 10**9)
        row[at] = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns:09d}Z"
    row[7] = "" if row[7] == 2**63 - 1 else f"{Decimal(row[7]) / 10**9:.9f}"
    return row


def market(seed, length=150):
    """Return records, the books after each event, and the trades, of orders kept in plain dictionaries."""
    rng, orders, rows, books, trades = random.Random(seed), {}, [], {}, []
    us = START_US

    def record_book():
        sides = ({}, {})
        for side, price, size in orders.values():
            levels, key = sides[0 if side == "B" else 1], Decimal(price) / 100
            levels[key] = levels.get(key, 0) + size
        books[us] = sides

    rows.append(record(us, "R", "N", None, 0, 0, SNAPSHOT | BAD_TIME))
    for number in range(1, 21):
        side = "B" if number % 2 else "A"
        orders[number] = [side, 10_000 + (-1 if side == "B" else 1) * rng.randint(1, 9), rng.randint(1, 50)]
        flags = SNAPSHOT | BAD_TIME | (LAST if number == 20 else 0)
        rows.append(record(us, "A", *orders[number], number, flags))
    record_book()
    for number in range(21, 21 + length):
        us += rng.randint(1_000, 900_000)
        side = rng.choice("BA")
        sign = -1 if side == "B" else 1
        kind = rng.choice("AACCMT")
        keys = [key for key, order in orders.items() if order[0] == side]
        if kind == "A" or len(keys) < 4:
            orders[number] = [side, 10_000 + sign * rng.randint(1, 12), rng.randint(1, 50)]
            rows.append(record(us, "A", *orders[number], number))
        elif kind == "C":
            key = rng.choice(keys)
            filled = rng.randint(1, orders[key][2])
            rows.append(record(us, "C", side, orders[key][1], filled, key))
            orders[key][2] -= filled
        elif kind == "M":
            key = rng.choice(keys)
            orders[key][1:] = [10_000 + sign * rng.randint(1, 12), rng.randint(1, 50)]
            rows.append(record(us, "M", *orders[key], key))
        else:
            key = min(keys, key=lambda candidate: sign * orders[candidate][1])
            _, price, size = orders[key]
            filled = rng.randint(1, size)
            taker = "A" if side == "B" else "B"
            trades.append((us, 1 if taker == "B" else -1, Decimal(price) / 100, Decimal(filled)))
            rows.append(record(us, "T", taker, price, filled, 0, 0))
            rows.append(record(us, "F", side, price, filled, key, 0))
            rows.append(record(us, "C", side, price, filled, key))
            orders[key][2] -= filled
        orders = {key: order for key, order in orders.items() if order[2]}
        record_book()
    return rows, books, trades


def es(paths, root, **options):
    return imported("databento", paths, root, symbol="ESM4", qty_step="1", **options)


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["raw", "pretty", "zstd"])
@pytest.mark.parametrize("seed", range(3))
def test_levels_sum_the_remaining_orders(tmp_path, seed, spelling):
    rows, books, trades = market(seed)
    path = write_csv(tmp_path / "x.csv", HEAD, map(pretty, rows) if spelling == "pretty" else rows)
    if spelling == "zstd":
        packed = tmp_path / "x.csv.zst"
        with pa.CompressedOutputStream(str(packed), "zstd") as out:
            out.write(path.read_bytes())
        path = packed
    report = es([path], tmp_path / "data")
    assert books_of(report.days[0].path) == (books, trades)
    assert defects_of(report.days[0].path) == []


def test_book_counts_only_at_the_end_of_an_event(tmp_path):
    """Between the records of one event it may be crossed."""
    us = START_US
    rows = [
        record(us, "R", "N", None, 0, 0, 0),
        record(us, "A", "B", 9_999, 5, 1, 0),
        record(us, "A", "A", 10_001, 5, 2),
        record(us + 1_000, "A", "B", 10_002, 3, 3, 0),
        record(us + 1_000, "C", "A", 10_001, 5, 2, 0),
        record(us + 1_000, "A", "A", 10_003, 4, 4),
    ]
    report = es([write_csv(tmp_path / "x.csv", HEAD, rows)], tmp_path / "data")
    assert report.days[0].book.anomalies == {}
    found, _ = books_of(report.days[0].path)
    assert {float(p): int(q) for p, q in found[us + 1_000][0].items()} == {99.99: 5, 100.02: 3}


def test_file_starting_within_a_session_gives_warnings(tmp_path):
    rows = [
        record(START_US, "A", "B", 9_999, 5, 1),
        record(START_US + 1_000, "C", "A", 10_001, 5, 2),
        record(START_US + 2_000, "A", "A", 10_001, 5, 3, LAST | 4),
    ]
    report = es([write_csv(tmp_path / "x.csv", HEAD, rows)], tmp_path / "data")
    warnings = " ".join(report.warnings)
    assert "without earlier orders" in warnings
    assert "1 records are of orders that were never added" in warnings
    assert "1 records are marked as a book that may be bad" in warnings


def test_only_the_requested_symbol_is_imported(tmp_path):
    rows, books, trades = market(1)
    other = [[*row[:-1], "NQM4"] for row in rows]
    mixed = [row for pair in zip(rows, other, strict=True) for row in pair]
    report = es([write_csv(tmp_path / "x.csv", HEAD, mixed)], tmp_path / "data")
    assert books_of(report.days[0].path) == (books, trades)


def test_long_stretches_of_other_symbols_are_passed(tmp_path, monkeypatch):
    """Whole blocks of a file have no record of the requested symbol, at its begin, within and at its end."""
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1_000)
    rows, books, trades = market(1)
    other = [[*row[:-1], "NQM4"] for row in rows[:50]]
    mixed = [*other, *rows[:40], *other, *rows[40:], *other]
    report = es([write_csv(tmp_path / "x.csv", HEAD, mixed)], tmp_path / "data")
    assert books_of(report.days[0].path) == (books, trades)


def test_file_without_the_requested_symbol_names_those_that_it_has(tmp_path):
    with pytest.raises(Mismatch, match=r"no message of YMM4; .*can be ESM4"):
        imported("databento", [write_csv(tmp_path / "x.csv", HEAD, market(1)[0])], tmp_path / "data", symbol="YMM4")


GOOD = [record(START_US, "R", "N", None, 0, 0, 0), record(START_US, "A", "B", 9_999, 5, 1)]


def with_cell(name, value):
    row = list(record(START_US + 5, "A", "A", 10_001, 5, 2))
    row[HEAD.index(name)] = value
    return row


BAD = {
    "another action": (with_cell("action", "Q"), r":4: action is 'Q', not A, C, M"),
    "another side": (with_cell("side", "Z"), r":4: side is 'Z'"),
    "an order without a side": (with_cell("side", "N"), r":4: action A has no side"),
    "an order without a price": (with_cell("price", 2**63 - 1), r":4: price .* are not valid for an order"),
    "an order of nothing": (with_cell("size", 0), r":4: .*size 0 are not valid for an order"),
    "no time": (with_cell("ts_recv", "soon"), r":4: ts_recv is 'soon', not a number of ns"),
    "an earlier time": (with_cell("ts_recv", (START_US - 5) * 1000), r":4: .* comes after"),
    "another venue": (with_cell("publisher_id", 9), r":4: publisher_id is 9, but 1 in earlier rows; request"),
    "no order": (with_cell("order_id", -1), r":4: order_id is '-1'"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_record_raises_with_its_row(tmp_path, case):
    row, match = BAD[case]
    with pytest.raises(BrokenFile, match=rf"x\.csv{match}") as raised:
        es([write_csv(tmp_path / "x.csv", HEAD, [*GOOD, row])], tmp_path / "data")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "data").exists()


def test_other_encodings_and_schemas_are_rejected(tmp_path):
    columns = [name for name in HEAD if name != "order_id"]
    with pytest.raises(BrokenFile, match=r"x\.csv:1: the header has no order_id: .*; request the schema mbo as CSV"):
        es([write_csv(tmp_path / "x.csv", columns, [])], tmp_path / "data")


SILENT_FROM_US, SILENT_UPTO_US = START_US + 600_000_000, START_US + 660_000_000


def silent(rows):
    """Return a market's records with a minute of silence put in."""
    later = [row[0] // 1_000 >= SILENT_FROM_US for row in rows]
    ns = (SILENT_UPTO_US - SILENT_FROM_US) * 1_000
    moved = [[row[0] + ns, row[1] + ns, *row[2:]] for row in rows]
    return [other if late else row for row, other, late in zip(rows, moved, later, strict=True)]


@pytest.mark.parametrize("seed", range(2))
def test_a_silence_that_lacks_records_is_a_gap(tmp_path, seed):
    """Orders that came in it are changed later without having been added, and queues of before are untrue."""
    rows, _, _ = market(seed, length=3_000)
    stamps = [row[0] // 1_000 for row in rows]
    kept = [row for row, us in zip(rows, stamps, strict=True) if not SILENT_FROM_US <= us < SILENT_UPTO_US]
    report = es([write_csv(tmp_path / "x.csv", HEAD, kept)], tmp_path / "data")
    folder = DayFolder.at(report.days[0].path)
    (gap,) = events(folder, "gap")
    assert gap["cause"] == "silence_and_unknown_orders"
    assert gap["from_us"] == max(us for us in stamps if us < SILENT_FROM_US)
    assert gap["to_us"] == min(us for us in stamps if us >= SILENT_UPTO_US)
    assert any("after 1 silences of 5 s or more" in warning for warning in report.warnings)
    assert defects_of(folder.path) == []


@pytest.mark.parametrize("begin", [0, 1_600])
def test_a_mere_silence_is_no_gap(tmp_path, begin):
    """Nothing is missing, or no more than of a file that begins within a session."""
    rows, _, _ = market(1, length=3_000)
    report = es([write_csv(tmp_path / "x.csv", HEAD, silent(rows[begin:]))], tmp_path / "data")
    assert events(DayFolder.at(report.days[0].path), "gap") == []
    assert any("of orders that were never added" in warning for warning in report.warnings) == (begin > 0)
