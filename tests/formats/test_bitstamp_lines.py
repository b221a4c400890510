"""Lines of an order-by-order capture: both orders of a trade, and rejected files with their line."""

import bz2

import pytest
from test_bitstamp import FIRST, SWEEP, order, text_of, trade

from mm.errors import BrokenFile
from mm.formats.bitstamp_lines import TradeOrders, matched, read_lines
from mm.markets.grid import Grid


def read(path):
    return read_lines(path, Grid())


def lines_of(tmp_path, *messages):
    path = tmp_path / "lines.log"
    path.write_text(text_of(*messages))
    return read(path)


def test_later_order_is_the_taker(tmp_path):
    lines = lines_of(
        tmp_path,
        order("created", 1, -1, "100.00", "2.0", 0),
        order("created", 2, 1, "100.50", "0.5", 10),
        order("deleted", 2, 1, "100.50", "0.0", 11),
        order("changed", 1, -1, "100.00", "1.5", 12),
        trade(9, 100.0, 0.5, 20),
    )
    assert matched(lines) == {4: TradeOrders(maker=3, taker=2)}


def test_order_message_is_matched_to_one_trade(tmp_path):
    lines = lines_of(
        tmp_path,
        order("created", 1, -1, "100.00", "2.0", 0),
        order("created", 2, 1, "100.00", "1.0", 10),
        order("changed", 1, -1, "100.00", "1.5", 11),
        order("changed", 2, 1, "100.00", "0.5", 11),
        trade(8, 100.0, 0.5, 12),
        order("changed", 1, -1, "100.00", "1.0", 13),
        order("deleted", 2, 1, "100.00", "0.0", 13),
        trade(9, 100.0, 0.5, 15),
    )
    assert matched(lines) == {4: TradeOrders(2, 3), 7: TradeOrders(5, 6)}


def test_maker_from_before_the_capture_is_unknown(tmp_path):
    taker = order("created", 2, 1, "100.00", "0.5", 10), order("deleted", 2, 1, "100.00", "0.0", 11)
    assert matched(lines_of(tmp_path, *taker, trade(9, 99.9, 0.5, 12))) == {2: TradeOrders(-1, 1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,price\n1,2\n", r":1: not an order-by-order capture of Bitstamp: .*'id,price'; accepted"),
        (text_of(*SWEEP)[:-20], r":8: this line cannot be read .*head -n 7"),
        (text_of(FIRST) + text_of(order("created", 3, 1, "x", "1", 5)), r":2: this line cannot be read .*'x'"),
        (text_of((0, "order_book", {"bids": [["0.00", "3.0"]], "asks": []})), r":1: this line .*0.00 is zero"),
        ("", "the file is empty; leave it out"),
    ],
)
def test_unknown_or_cut_file_raises_broken_file_with_its_line(tmp_path, text, message):
    path = tmp_path / "broken.log"
    path.write_text(text)
    with pytest.raises(BrokenFile, match=message):
        read(path)


def test_cut_archive_raises_broken_file_with_whole_line_count(tmp_path):
    path = tmp_path / "cut.log.bz2"
    path.write_bytes(bz2.compress(text_of(*SWEEP * 40).encode())[:-30])
    with pytest.raises(BrokenFile, match=r"ends early or is damaged .*bzcat .* head -n 0"):
        read(path)
