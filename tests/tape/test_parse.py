"""Parsing of bytes into columns: exact decimals, lines split over pieces, and errors with line numbers."""

import json
import re
from contextlib import suppress
from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import BrokenFile, OffGrid
from mm.tape._parse import DIFF_NUMBERS, Cell, DiffParser, TableParser

MOST = 2**63 - 1
CANONICAL = (
    b'{"recv_ms":1,"recv_us":1002,"recv_seq":3,"run_id":"r","E":4,"U":5,"u":6,'
    b'"b":[["1.50000000","2"]],"a":[["2","0"]]}\n'
)


def parsed(parser, text, size=1 << 20):
    for begin in range(0, len(text), size):
        parser.feed(text[begin : begin + size])
    return parser


def parsed_values(parser):
    """Return all values of a depth parser, prices and quantities in 1e-8."""
    numbers, *rows = parser.take()
    return numbers.T.tolist(), [column.tolist() for column in rows], parser.words


def rows_of(text, **steps):
    return parsed_values(parsed(DiffParser("day", **steps), text))[1]


def diff(price="1", qty="1"):
    return f'{{"recv_us":1,"U":1,"u":1,"b":[["{price}","{qty}"]],"a":[]}}\n'.encode()


def test_message_is_parsed_into_numbers_and_levels():
    """Covers all keys of a day folder's messages."""
    numbers, rows, words = parsed_values(parsed(DiffParser("day"), CANONICAL))
    assert numbers == [[1002], [3], [0], [4], [5], [6], [2]]
    assert rows == [[1, -1], [150_000_000, 200_000_000], [200_000_000, 0]]
    assert words == ["r"]


@given(st.integers(0, MOST), st.integers(0, 8))
def test_decimals_are_exact(value, places):
    """Values up to the largest int64 are exact; no floats are involved."""
    value -= value % 10 ** (8 - places)
    text = f"{value // 10**8}.{value % 10**8:08d}"
    shorter = text[: len(text) - (8 - places)].removesuffix(".")
    for number_text in {text, shorter, text + "00", "0" * (value < 10**15) + text}:
        assert rows_of(diff(qty=number_text)) == [[1], [100_000_000], [value]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1,5",
        "0x1",
        "92233720368.54775808",
        "123456789012",
        "0.000000001",
        "1.5.5",
        " 1",
        "NaN",
    ],
)
def test_quantity_that_is_no_plain_decimal_is_rejected(text):
    """Other notations are rejected, not guessed."""
    with pytest.raises(BrokenFile, match=r"^day:2: a quantity, a plain decimal of .* expected at byte 37 "):
        rows_of(diff() + diff(qty=text))


units = st.integers(0, 8).flatmap(lambda digits: st.integers(0, 10 ** (8 + digits) - 1))


def plain_levels(text):
    """Return the prices and quantities of a list of levels in 1e-8; None if one is invalid."""
    found = []
    with suppress(ValueError):
        for level in json.loads(text):
            if not (isinstance(level, list) and [type(number) for number in level] == [str, str]):
                return None
            for number in level:
                if not re.fullmatch(r"\d{1,11}(\.\d{0,8}0*)?", number):
                    return None
                whole, _, places = number.partition(".")
                found.append(int(whole) * 10**8 + int(places[:8].ljust(8, "0")))
        prices, quantities = found[::2], found[1::2]
        return (prices, quantities) if min(prices, default=1) > 0 and max(found, default=0) <= MOST else None
    return None


@given(st.lists(st.tuples(units, units), min_size=1, max_size=5), st.integers(0), st.sampled_from('0123456789.", []-e'))
def test_levels_in_the_exchange_format_are_exact_or_rejected(levels, place, character):
    """One character of several levels is replaced: they are read as plain Python reads them, or rejected."""
    numbers = [[f"{number // 10**8}.{number % 10**8:08d}" for number in level] for level in levels]
    text = json.dumps(numbers, separators=(",", ":"))
    text = text[: place % len(text)] + character + text[place % len(text) + 1 :]
    line = f'{{"recv_us":1,"U":1,"u":1,"b":{text},"a":[]}}\n'.encode()
    expected = plain_levels(text)
    if expected is None:
        with pytest.raises(BrokenFile):
            rows_of(line)
    else:
        assert rows_of(line) == [[1] * len(expected[0]), *expected]


@given(st.integers(0, 18).flatmap(lambda digits: st.integers(0, 10**digits - 1)))
def test_whole_numbers_of_18_digits_are_exact(number):
    """A 19th digit is rejected, also a leading zero."""
    line = f'{{"recv_us":1,"recv_seq":{number:018d},"U":{number},"u":1,"b":[],"a":[]}}\n'.encode()
    parser = parsed(DiffParser("day"), line)
    cell = dict(zip(DIFF_NUMBERS, parser.take()[0][0].tolist(), strict=True))
    assert (cell["recv_seq"], cell["first_id"]) == (number, number)
    with pytest.raises(BrokenFile, match="a whole number expected"):
        parsed(DiffParser("day"), line.replace(b'"recv_seq":', b'"recv_seq":0'))


@given(st.permutations(list(json.loads(CANONICAL))), st.sampled_from([None, 1]), st.integers(1, 50))
def test_keys_may_be_in_any_order_with_whitespace(order, indent, size):
    """JSON of other programs is accepted, and a piece of a file may end anywhere."""
    message = json.loads(CANONICAL)
    line = json.dumps({**{key: message[key] for key in order}, "other": {"x": ['}"\\', [1, None]]}}, indent=indent)
    text = (line.replace("\n", " ") + "\r\n").encode()
    numbers, rows, words = parsed_values(parsed(DiffParser("day"), CANONICAL + b"\n" + text * 2, size))
    bids_first = order.index("b") < order.index("a")
    assert numbers == [[1002] * 3, [3] * 3, [0] * 3, [4] * 3, [5] * 3, [6] * 3, [2] * 3]
    assert rows[0] == [1, -1] + [1, -1] * 2 if bids_first else [1, -1] + [-1, 1] * 2
    assert words == ["r"]


def test_messages_of_older_versions_may_lack_keys():
    """Without µs the milliseconds are used; a missing number is -1."""
    numbers, _, words = parsed_values(parsed(DiffParser("day"), b'{"recv_ms":7,"U":1,"u":2,"b":[],"a":[]}\n'))
    assert numbers == [[7000], [-1], [-1], [-1], [1], [2], [0]]
    assert words == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[]", r"{ expected at byte 1 of the line, found '\[\]'"),
        (b"{}", "a key expected at byte 2"),
        (b'{"recv_us":1', "a comma or } expected at byte 13 of the line, found nothing"),
        (b'{"recv_us":"1"}', "a whole number expected at byte 12"),
        (b'{"recv_us":1234567890123456789}', "a whole number expected"),
        (b'{"run_id":5}', "a run id in quotes expected"),
        (b'{"run_id":"5}', "a run id in quotes expected"),
        (b'{"x":[1,2}', "a whole value expected"),
        (b'{"recv_us":1}', "each of the keys U, u, b and a expected"),
        (b'{"U":1,"u":1,"b":[],"a":[]}', "the key recv_us or recv_ms expected"),
        (b'{"recv_ms":176761080000800000,"U":1,"u":1,"b":[],"a":[]}', "a recv_ms that is a time in ms expected"),
        (b'{"b":{}}', "a list of levels expected"),
        (b'{"b":[[1,2]]}', "a level expected"),
        (b'{"b":[["1"]]}', "a quantity in quotes expected"),
        (b'{"b":[["1","2","3"]]}', "the end of the level expected"),
        (b'{"b":[["1","2"] ["1","2"]]}', "a comma or ] expected"),
        (b'{"b":[["0","2"]]}', "a price above 0 expected"),
        (b'{"recv_us":1,"U":1,"u":1,"b":[],"a":[]} x', "the end of the line expected at byte 40"),
        (b'{"b":[["\xff', "a price, a plain decimal"),
    ],
)
def test_broken_line_message_contains_line_and_content(line, message):
    """The message contains line and byte."""
    with pytest.raises(BrokenFile, match=message) as caught:
        parsed(DiffParser("day.ndjson"), CANONICAL + b"\n" + line + b"\n" + CANONICAL)
    assert str(caught.value).startswith("day.ndjson:3: ")


@given(st.binary(max_size=80))
def test_arbitrary_bytes_do_not_crash_parser(noise):
    """Any bytes are parsed or raise BrokenFile."""
    for parser in (DiffParser("day"), TableParser("day", {"a": int(Cell.INT), "b": int(Cell.FLAG | Cell.OPTIONAL)})):
        with suppress(BrokenFile):
            parsed(parser, noise + b"\n" + noise)
            parser.finish(True)


def test_torn_last_line_adds_no_levels():
    """Its levels are kept only if the message is whole."""
    parser = parsed(DiffParser("day"), CANONICAL + CANONICAL[:-20])
    assert parser.finish(True) == 1
    whole = parsed(DiffParser("day"), CANONICAL)
    assert (parsed_values(parser), parser.lines) == (parsed_values(whole), 1)
    assert parsed(DiffParser("day"), CANONICAL[:-1]).finish(True) == 0
    assert parsed(DiffParser("day"), CANONICAL[:-1]).finish(False) == 1


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=20), st.integers(0, 10**9))
def test_steps_are_greatest_common_divisors(units, step):
    """The steps are the greatest common divisors of the values."""
    text = b"".join(
        diff(f"{unit // 10**8}.{unit % 10**8:08d}", f"{unit // 10**8}.{unit % 10**8:08d}") for unit in units
    )
    parser = parsed(DiffParser("day", qty_step_e8=step), text)
    assert (parser.tick_e8, parser.lot_e8) == (gcd(*units), gcd(step, *units))


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(0, 10**6))
def test_price_off_grid_is_rejected(tick_e8, ticks, rest):
    """The grid check is exact for any tick size."""
    value = min(tick_e8 * ticks + rest % tick_e8, MOST)
    line = diff(f"{value // 10**8}.{value % 10**8:08d}")
    parser = DiffParser("day", tick_e8)
    if value % tick_e8 == 0:
        parser.feed(line)
        assert parser.tick_e8 == tick_e8
    else:
        with pytest.raises(OffGrid, match=r"^day:1: price \S+ is not a multiple of tick size \S+; set tick_size"):
            parser.feed(line)


@given(
    st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 2**40)), min_size=1, max_size=12),
    st.sampled_from([1, 10**4, 10**8]),
)
def test_rows_keep_values_of_any_step_and_size(levels, coarsest):
    """A block has its own steps and narrow items, until a finer step or a larger number follows."""
    units = [coarsest if nth % 3 else 1 for nth in range(len(levels))]
    prices = [min(price * unit, MOST) for (price, _), unit in zip(levels, units, strict=True)]
    quantities = [min(qty * unit, MOST) for (_, qty), unit in zip(levels, units, strict=True)]
    text = ",".join(
        f'["{price // 10**8}.{price % 10**8:08d}","{qty // 10**8}.{qty % 10**8:08d}"]'
        for price, qty in zip(prices, quantities, strict=True)
    )
    lines = f'{{"recv_us":1,"U":1,"u":1,"b":[{text}],"a":[{text}]}}\n'.encode()
    assert rows_of(lines)[1:] == [prices * 2, quantities * 2]
    _, *rows = rows_of(diff("200", "0") + lines + lines)
    assert rows == [[200 * 10**8] + prices * 4, [0] + quantities * 4]


def test_many_run_ids_are_distinguished():
    """Run ids are numbered in order of appearance, and a repeated id keeps its number."""
    names = [f"run{n % 7}" for n in range(40)] + ["x" * 64, "run0"]
    lines = [CANONICAL.replace(b'"r"', f'"{name}"'.encode()) for name in names]
    parser = parsed(DiffParser("day"), b"".join(lines))
    assert [parser.words[code] for code in parser.take()[0][:, DIFF_NUMBERS.index("run")]] == names
    with pytest.raises(BrokenFile, match="a run id of at most 64 bytes"):
        parsed(parser, CANONICAL.replace(b'"r"', b'"' + b"y" * 65 + b'"'))


def test_taken_messages_are_those_since_the_last_call():
    """A message may have more levels than there was room for, and belongs to one piece."""
    level = '["1.00000000","2.00000000"],' * 70_000
    line = f'{{"recv_us":1,"U":1,"u":1,"b":[{level[:-1]}],"a":[]}}\n'.encode()
    parser = DiffParser("day")
    for number in range(2, 9):
        parser.feed(line.replace(b'"2.0', b'"%d.0' % number))
        numbers, side, price, qty = parser.take()
        assert numbers[:, DIFF_NUMBERS.index("size")].tolist() == [70_000]
        assert np.array_equal(qty, np.full(70_000, number * 10**8))
        assert len(side) == len(price) == 70_000
    assert [len(column) for column in parser.take()] == [0] * 4


TABLE = {
    "id": int(Cell.INT),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY | Cell.OPTIONAL),
    "maker": int(Cell.FLAG),
    "run": int(Cell.WORD | Cell.OPTIONAL),
}


def cells(text, size=1 << 20):
    parser = parsed(TableParser("day.csv", TABLE), text, size)
    return parser.take().tolist(), parser.words


@given(st.permutations(list(TABLE)), st.sampled_from(["\n", "\r\n"]), st.integers(1, 40))
def test_table_columns_are_read_by_header(order, newline, size):
    """Columns may be in any order, with unknown ones among them."""
    row = {"id": "7", "price": "1.5", "qty": "2", "maker": "true", "run": "r"}
    head = newline.join([",".join([*order, "x"]), ",".join([*(row[name] for name in order), "?"])])
    assert cells((head + newline).encode(), size) == ([[7, 150_000_000, 200_000_000, 1, 0]], ["r"])


def test_optional_columns_may_be_empty_or_missing():
    """Files of older versions have fewer columns, and a trade from REST has no event time."""
    assert cells(b"id,price,maker\n7,1,0\n\n") == ([[7, 100_000_000, -1, 0, -1]], [])
    assert cells(b"id,price,qty,maker,run\n7,1,,False,\n") == ([[7, 100_000_000, -1, 0, -1]], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"7,1,0\n", r"^day.csv:1: column id occurs 0 times in the header '7,1,0'; .* in any order: id,price,maker$"),
        (b"id,price,maker,id\n", "column id occurs 2 times"),
        (b"id,price,maker\n7,1\n", r"^day.csv:2: another field expected at byte 4 of the line, found nothing"),
        (b"id,price,maker\n7,1,true,8\n", r"^day.csv:2: the end of the line expected at byte 9"),
        (b"id,price,maker\n,1,true\n", "a whole number expected"),
        (b"id,price,maker\n7,1,yes\n", "true or false expected"),
        (b"id,price,maker\n7,0,true\n", "a price above 0 expected"),
        (b"id,price,maker\n7,1.5x,true\n", "another field expected"),
        (b"id,price,maker\nid,price,maker\n", r"^day.csv:2: a whole number expected at byte 1"),
    ],
)
def test_broken_table_message_contains_line(text, message):
    """The header is line 1."""
    with pytest.raises(BrokenFile, match=message):
        cells(text)
