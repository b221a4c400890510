"""The tables of a day folder: columns by their header, frames, snapshots, prices on the grid."""

import pytest
from day_stories import PLAIN, START, at, rewrite, told, trade, written

from mm.backtest.io import load_day
from mm.dayfolder.rows import Stamp
from mm.errors import BrokenFile, OffGrid
from strategies import price, qty


def test_a_price_off_the_grid_names_file_line_and_price(tmp_path):
    """Rounding it would make a price that nobody quoted."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.diffs, lambda text: text.replace("1.00000000", "1.00500000"))
    with pytest.raises(
        OffGrid, match=r"depth_diffs_\w+\.ndjson\.gz:2: price 1\.005 is not a multiple of tick size 0\.01"
    ):
        load_day(folder)


def test_frames_alone_are_whole_books(tmp_path):
    """A recording without raw messages still shows its best levels; a frame that repeats the last says nothing."""
    book = [[price(99), qty(5)], [price(98), qty(1)]], [[price(101), qty(7)]]
    frames = [
        ("frame", Stamp(at(1), 2, at(1) // 1000, 11), 0, *book),
        ("frame", Stamp(at(2), 3, at(2) // 1000, 12), 1, *book),
        ("frame", Stamp(at(3), 4, at(3) // 1000, 13), 1, *book),
        ("frame", Stamp(at(4), 5, at(4) // 1000, 14), 1, book[0][:1], book[1]),
    ]
    folder = written(tmp_path, [START, *frames, *[("skip",)] * 4, trade(5, 1)])
    folder.diffs.unlink()
    tape = load_day(folder)
    assert told(tape) == [
        (at(2), at(2), 3, 12, "snapshot", [(1, 99, 5), (1, 98, 1), (-1, 101, 7)]),
        (at(4), at(4), 5, 14, "snapshot", [(1, 99, 5), (-1, 101, 7)]),
        (at(5), at(5), 6, 1, "trade", [(-1, 100, 2)]),
    ]
    assert tape.meta.counts == {"frames_unchanged": 1}


def test_the_header_decides_the_order_of_columns(tmp_path):
    """Columns stand where their names say."""
    folder = written(tmp_path, PLAIN)
    expected = told(load_day(folder))
    rewrite(folder.trades, lambda text: "".join(",".join(line.split(",")[::-1]) + "\n" for line in text.splitlines()))
    assert told(load_day(folder)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",10\n", ",11\n"), "lastUpdateId is 10 and 11 in file and ledger"),
        (lambda text: text.replace(",bid,", ",buy,"), "csv:2: side is neither bid nor ask"),
        (lambda text: text[:-4], "the file breaks off after line 2"),
        (lambda text: text.replace("price", "preis"), "column price stands 0 times in the header"),
        (lambda text: text.replace("0.99000000", "0.00000000"), "a price above 0 expected"),
    ],
)
def test_a_broken_snapshot_is_refused(tmp_path, change, message):
    """Half a snapshot is a wrong book."""
    folder = written(tmp_path, PLAIN)
    rewrite(folder.snapshots / "snapshot_2_initial.csv", change)
    with pytest.raises(BrokenFile, match=message):
        load_day(folder)
