"""The bytes of files: hashed, inflated, and cut where a crash cut them."""

import gzip
import hashlib
import zlib

import pytest

from mm.errors import BrokenFile
from mm.tape import files
from mm.tape._parse import LineParser
from mm.tape.files import first_line, parse_file, read_small

LINES = b"".join(b'{"line":%d}\n' % number for number in range(2_000))


class Kept(LineParser):
    """Keeps all that it is fed."""

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
    read = parse_file(path, parser)
    return parser.text, read


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
def test_every_form_of_a_file_gives_its_text_and_its_hash(tmp_path, monkeypatch, name, data, text, piece):
    """What a manifest says is of the bytes as they lie, what a parser sees is the text."""
    monkeypatch.setattr(files, "_PIECE", piece)
    path = tmp_path / name
    path.write_bytes(data)
    found, read = text_of(path)
    assert found == text
    assert (read.bytes, read.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (read.lines, read.torn_lines, read.cut_off) == (text.count(b"\n"), 0, False)
    assert read_small(path) == (text, read)
    assert first_line(path) == '{"line":0}'


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("cut", [3, 9, 40, 900, 2_000, -1, -8, -9])
def test_a_cut_off_file_gives_all_that_can_be_had(tmp_path, monkeypatch, members, cut):
    """Whatever gzip itself would still give."""
    monkeypatch.setattr(files, "_PACKED_PIECE", 64)
    packed = gzip.compress(LINES)
    data = packed * (members - 1) + packed[:cut]
    path = tmp_path / "day.ndjson.gz"
    path.write_bytes(data)
    found, read = text_of(path)
    assert found == LINES * (members - 1) + zlib.decompressobj(31).decompress(packed[:cut])
    assert (read.cut_off, read.bytes, read.sha256) == (True, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "data", [b"not gzip at all", gzip.compress(LINES) + b"behind it", gzip.compress(LINES)[:-8] + b"\1" * 8]
)
def test_damage_is_refused(tmp_path, data):
    """A checksum that fails says that some line before it is wrong."""
    path = tmp_path / "day.csv.gz"
    path.write_bytes(data)
    with pytest.raises(
        BrokenFile, match=r"day\.csv\.gz: damaged gzip data before byte \d+ .*record or import the day again"
    ):
        text_of(path)


def test_an_empty_file_is_refused(tmp_path):
    """It is no table of no rows: that has a header."""
    for name in ("day.csv", "day.csv.gz", "diffs.ndjson.gz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(BrokenFile, match=r"the file is empty \(0 bytes\)"):
            text_of(tmp_path / name)


def test_a_day_of_trades_alone_has_no_book(tmp_path):
    """An import of trades leaves an empty file of diffs: the error says what is missing, not only that it is empty."""
    (tmp_path / "depth_diffs.ndjson.gz").write_bytes(b"")
    with pytest.raises(BrokenFile, match="a day without depth messages has no book"):
        text_of(tmp_path / "depth_diffs.ndjson.gz")
