"""Reading of files into columns: hashes, gzip, cut files, headers, and prices on the grid."""

import gzip
import hashlib
import zlib

import pytest
from day_stories import PLAIN, START, at, remove_columns, rewrite, tape_events, trade, write_day

from mm import load_day
from mm.errors import BrokenFile, OffGrid
from mm.tape import files, tables
from mm.tape._parse import LineParser
from mm.tape.files import ParsedFile, read_small
from strategies import price, qty

LINES = b"".join(b'{"line":%d}\n' % number for number in range(2_000))


class Kept(LineParser):
    """A parser that keeps its input."""

    def __init__(self, name):
        super().__init__(name)
        self.text = b""

    def feed(self, piece):
        self.text += bytes(piece)
        super().feed(piece)

    def finish(self, accept_last):
        return 0


def text_of(path):
    parser = Kept(str(path))
    parsed = ParsedFile(path, parser)
    assert list(parsed)
    return parser.text, parsed.read


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("day.csv", LINES, LINES),
        ("day.csv.gz", gzip.compress(LINES), LINES),
        ("day.csv.gz", b"".join(gzip.compress(line) for line in LINES.splitlines(keepends=True)), LINES),
        ("day.csv.gz", gzip.compress(LINES) + b"\0" * 512 + gzip.compress(b"more\n"), LINES + b"more\n"),
        ("day.csv.gz", gzip.compress(LINES) + gzip.compress(b""), LINES),
    ],
    ids=["plain", "packed", "many members", "padding", "empty member"],
)
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_every_file_format_gives_text_and_hash(tmp_path, monkeypatch, name, data, text, piece):
    """Size and hash are those of the file's bytes; the parser receives the decompressed text."""
    monkeypatch.setattr(files, "_PIECE", piece)
    monkeypatch.setattr(files, "_PACKED_PIECE", piece)
    path = tmp_path / name
    path.write_bytes(data)
    found, read = text_of(path)
    assert found == text
    assert (read.bytes, read.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (read.lines, read.torn_lines, read.cut_off) == (text.count(b"\n"), 0, False)
    assert read_small(path) == (text, read)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("cut", [3, 9, 40, 900, 2_000, -1, -8, -9])
def test_cut_gzip_file_gives_all_readable_text(tmp_path, monkeypatch, members, cut):
    """The text is the same as that of zlib for the cut data."""
    monkeypatch.setattr(files, "_PACKED_PIECE", 64)
    compressed = gzip.compress(LINES)
    data = compressed * (members - 1) + compressed[:cut]
    path = tmp_path / "day.ndjson.gz"
    path.write_bytes(data)
    found, read = text_of(path)
    assert found == LINES * (members - 1) + zlib.decompressobj(31).decompress(compressed[:cut])
    assert (read.cut_off, read.bytes, read.sha256) == (True, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "data", [b"not gzip at all", gzip.compress(LINES) + b"behind it", gzip.compress(LINES)[:-8] + b"\1" * 8]
)
def test_damaged_gzip_raises_broken_file(tmp_path, data):
    """A failed checksum means that some line before it is wrong."""
    path = tmp_path / "day.csv.gz"
    path.write_bytes(data)
    with pytest.raises(
        BrokenFile, match=r"day\.csv\.gz: damaged gzip data before byte \d+ .*record or import the day again"
    ):
        text_of(path)


def test_empty_file_raises_broken_file(tmp_path):
    """A table without rows would still have a header."""
    for name in ("day.csv", "day.csv.gz", "diffs.ndjson.gz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(BrokenFile, match=r"the file is empty \(0 bytes\)"):
            text_of(tmp_path / name)


def test_empty_diffs_message_says_day_has_no_book(tmp_path):
    """An import of trades only leaves an empty diffs file: the error explains that there is no book."""
    (tmp_path / "depth_diffs.ndjson.gz").write_bytes(b"")
    with pytest.raises(BrokenFile, match="a day without depth messages has no book"):
        text_of(tmp_path / "depth_diffs.ndjson.gz")


def test_price_off_grid_message_contains_file_line_and_price(tmp_path):
    """The price is not rounded."""
    folder = write_day(tmp_path, PLAIN)
    rewrite(folder.diffs, lambda text: text.replace("1.00000000", "1.00500000"))
    with pytest.raises(
        OffGrid, match=r"depth_diffs_\w+\.ndjson\.gz:2: price 1\.005 is not a multiple of tick size 0\.01"
    ):
        load_day(folder)


def test_invalid_time_in_ms_raises_broken_file(tmp_path):
    """Its conversion to µs would overflow."""
    folder = write_day(tmp_path, PLAIN)
    remove_columns(folder, "recv_time_us")
    rewrite(folder.trades, lambda text: text.replace(f",{at(4) // 1000},", f",{10**17},", 1))
    with pytest.raises(BrokenFile, match=r"trades_ws_\w+\.csv:2: recv_time_ms 1000+ is not a time in ms"):
        load_day(folder)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("piece", [1, 37, 1 << 20])
def test_trades_do_not_depend_on_piece_size(tmp_path, monkeypatch, piece, on_disk, lenient):
    """The result does not depend on the piece size, and is the same in memory and in files."""
    monkeypatch.setattr(files, "_PIECE", piece)
    path, rows = tmp_path / "trades.csv", range(9)
    head = "trade_id,price,qty,is_buyer_maker,recv_time_us,recv_time_ms,recv_seq,run_id,trade_time_ms,event_time_ms\n"
    stamps = [(-1 if row % 3 else 7_000 + row, 7 + row) for row in rows]
    prices = [f"{row + 1}.0{5 * (row % 4 == 2)}" for row in rows]
    path.write_text(
        head
        + "".join(
            f"{row},{prices[row]},0.{row},{row % 2},{'' if stamps[row][0] < 0 else stamps[row][0]},{stamps[row][1]},"
            f"{row},r{row // 5},{'' if row == 4 else 3},5\n"
            for row in rows
        )
    )
    kept = [row for row in rows if row % 4 != 2 or not lenient]
    steps = files.FileSteps(10**7 if lenient else 0, 0)
    found = tables.read_trades(path, steps, tmp_path if on_disk else None, lenient=lenient)
    side, price, qty = found.rows
    assert found.last_id.tolist() == found.recv_seq.tolist() == kept
    assert found.recv_us.tolist() == [us if us >= 0 else ms * 1000 for us, ms in (stamps[row] for row in kept)]
    assert [found.runs[code] for code in found.run.tolist()] == [f"r{row // 5}" for row in kept]
    assert found.exchange_us.tolist() == [(5 if row == 4 else 3) * 1000 for row in kept]
    assert side.tolist() == [1 - 2 * (row % 2) for row in kept]
    assert price.tolist() == [round(float(prices[row]) * 1e8) for row in kept]
    assert qty.tolist() == [row * 10**7 for row in kept]
    assert (found.start.tolist(), found.size.tolist()) == (list(range(len(kept))), [1] * len(kept))
    assert found.ids_out.tolist() == [row for row in rows if row not in kept]
    assert (found.left_out, found.first_left_out) == ((2, 4) if lenient else (0, 0))


@pytest.mark.parametrize("second", [0, 4])
def test_first_row_without_time_is_reported(tmp_path, monkeypatch, second):
    """The row may be in any piece of the file."""
    monkeypatch.setattr(files, "_PIECE", 16)
    path = tmp_path / "trades.csv"
    rows = [f"{row},1,1,1,{'' if row in (second, 6) else 5}" for row in range(8)]
    path.write_text("\n".join(["trade_id,price,qty,is_buyer_maker,recv_time_us", *rows, ""]))
    with pytest.raises(BrokenFile, match=rf"trades.csv:{second + 2}: neither recv_time_us nor recv_time_ms"):
        tables.read_trades(path, files.FileSteps(0, 0), None)
    path.write_text(path.read_text().replace("recv_time_us", "recv_time_ms").replace(",5\n", f",{10**17}\n"))
    first = f"recv_time_ms {10**17} is not a time in ms" if second else "neither recv_time_us nor recv_time_ms"
    with pytest.raises(BrokenFile, match=f"trades.csv:2: {first}"):
        tables.read_trades(path, files.FileSteps(0, 0), None)


def test_frames_without_diffs_become_snapshots(tmp_path):
    """A recording without raw messages gives its best levels; unchanged frames are skipped."""
    book = [[price(99), qty(5)], [price(98), qty(1)]], [[price(101), qty(7)]]
    frames = [
        ("frame", (at(1), 2, at(1) // 1000, 11), 0, *book),
        ("frame", (at(2), 3, at(2) // 1000, 12), 1, *book),
        ("frame", (at(3), 4, at(3) // 1000, 13), 1, *book),
        ("frame", (at(4), 5, at(4) // 1000, 14), 1, book[0][:1], book[1]),
    ]
    folder = write_day(tmp_path, [START, *frames, *[("skip",)] * 4, trade(5, 1)])
    folder.diffs.unlink()
    tape = load_day(folder)
    assert tape_events(tape) == [
        (at(2), at(2), 3, 12, "snapshot", [(1, 99, 5), (1, 98, 1), (-1, 101, 7)]),
        (at(4), at(4), 5, 14, "snapshot", [(1, 99, 5), (-1, 101, 7)]),
        (at(5), at(5), 6, 1, "trade", [(-1, 100, 2)]),
    ]
    assert tape.meta.counts == {"frames_unchanged": 1}


def test_columns_are_read_by_header(tmp_path):
    """Columns are read by name."""
    folder = write_day(tmp_path, PLAIN)
    expected = tape_events(load_day(folder))
    rewrite(folder.trades, lambda text: "".join(",".join(line.split(",")[::-1]) + "\n" for line in text.splitlines()))
    assert tape_events(load_day(folder)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",10\n", ",11\n"), "lastUpdateId is 10 and 11 in file and ledger"),
        (lambda text: text.replace(",bid,", ",buy,"), "csv:2: side is neither bid nor ask"),
        (lambda text: text[:-4], "the file is truncated after line 2"),
        (lambda text: text.replace("price", "preis"), "column price occurs 0 times in the header"),
        (lambda text: text.replace("0.99000000", "0.00000000"), "a price above 0 expected"),
    ],
)
def test_broken_snapshot_raises_broken_file(tmp_path, change, message):
    """An incomplete snapshot would give a wrong book."""
    folder = write_day(tmp_path, PLAIN)
    rewrite(folder.snapshots / "snapshot_2_initial.csv", change)
    with pytest.raises(BrokenFile, match=message):
        load_day(folder)
