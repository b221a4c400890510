"""Torn tails: how much of a file is good after a crash."""

import gzip
import io
import sys
import zlib
from contextlib import ExitStack
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.dayfolder.buffered_writer import AppendFile
from mm.dayfolder.line_files import (
    FileTail,
    appendable_tail,
    gzip_member,
    known_tail,
    scan,
    unpacked,
    whole_rows,
)
from mm.errors import BrokenFile

lines = st.lists(st.from_regex(r"[a-z0-9,]{1,30}", fullmatch=True), min_size=1, max_size=6)


def recover_tail(path, before=None):
    """Cut the torn tail of a file, as its writer does before its first rows, and return the tail."""
    tail = appendable_tail(path, before or FileTail())
    with ExitStack() as held:
        AppendFile(path, held, tail.good_bytes).append(b"")
    return tail


def test_missing_or_empty_file_has_empty_tail(tmp_path):
    """The first run of a day starts from an empty tail."""
    assert scan(tmp_path / "none.csv") == FileTail()
    (tmp_path / "empty.ndjson.gz").write_bytes(b"")
    assert recover_tail(tmp_path / "empty.ndjson.gz") == FileTail()


@settings(max_examples=60)
@given(st.lists(lines, min_size=1, max_size=4), st.data())
def test_plain_file_cut_anywhere_keeps_whole_lines(tmp_path_factory, flushes, data):
    """After a cut at any byte the file has only whole lines, and the loss is reported."""
    text = "".join(f"{line}\n" for flush in flushes for line in flush).encode()
    cut = data.draw(st.integers(0, len(text)))
    path = tmp_path_factory.mktemp("tail") / "a.csv"
    path.write_bytes(text[:cut])
    kept = text[: text[:cut].rfind(b"\n") + 1]
    tail = recover_tail(path)
    whole = kept.splitlines()
    assert path.read_bytes() == kept
    assert (tail.lines, tail.head, tail.last) == (len(whole), tuple(whole[:2]), whole[-1] if whole else b"")
    assert tail.lost_bytes == cut - len(kept)


@settings(max_examples=60)
@given(st.lists(lines, min_size=1, max_size=4), st.data())
def test_gzip_file_cut_anywhere_keeps_whole_members(tmp_path_factory, flushes, data):
    """Standard gzip readers read every row of a recovered file."""
    members = [gzip_member("".join(f"{line}\n" for line in flush).encode()) for flush in flushes]
    compressed = b"".join(members)
    cut = data.draw(st.integers(0, len(compressed)))
    path = tmp_path_factory.mktemp("tail") / "a.ndjson.gz"
    path.write_bytes(compressed[:cut])
    ends = [sum(map(len, members[: n + 1])) for n in range(len(members))]
    whole = sum(end <= cut for end in ends)
    tail = recover_tail(path)
    rows = [line for flush in flushes[:whole] for line in flush]
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == rows
    assert (tail.lines, tail.lost_bytes) == (len(rows), cut - (ends[whole - 1] if whole else 0))
    assert scan(path).lost_bytes == 0


@settings(max_examples=60)
@given(
    st.lists(lines, min_size=1, max_size=4), st.sampled_from(["a.csv", "a.ndjson.gz"]), st.binary(max_size=9), st.data()
)
def test_scan_from_known_tail_equals_full_scan(tmp_path_factory, flushes, name, torn, data):
    """A scan that starts from a known tail equals a scan of the whole file."""
    texts = ["".join(f"{line}\n" for line in flush).encode() for flush in flushes]
    parts = texts if name == "a.csv" else [gzip_member(text) for text in texts]
    known = data.draw(st.integers(1, len(parts)))
    path = tmp_path_factory.mktemp("tail") / name
    path.write_bytes(b"".join(parts) + torn)
    rows, size = sum(map(len, flushes[:known])), sum(map(len, parts[:known]))
    before = known_tail(path, rows, size)
    path.with_name("part" + name).write_bytes(b"".join(parts[:known]))
    assert before == scan(path.with_name("part" + name))
    assert scan(path, before) == scan(path)


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson.gz"])
def test_torn_second_line_is_not_in_head(tmp_path, name):
    """The torn line is after the known part, and is removed."""
    good, more = (b"one\n", b"tw") if name == "a.csv" else (gzip_member(b"one\n"), gzip_member(b"two\n")[:-1])
    (tmp_path / name).write_bytes(good + more)
    assert recover_tail(tmp_path / name, known_tail(tmp_path / name, 1, len(good))).head == (b"one",)
    (tmp_path / name).write_bytes(good + b"\0")
    assert known_tail(tmp_path / name, 1, len(good)).head == (b"one",)


def test_known_tail_rejects_size_within_row(tmp_path):
    """Nothing may be appended after such a size."""
    texts = {"a.csv": b"one\ntw", "a.ndjson.gz": gzip_member(b"one\ntw"), "b.ndjson.gz": gzip_member(b"one\n")[:-1]}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
        assert known_tail(tmp_path / name, 1, len(text)) is None


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson.gz"])
def test_trailing_zeros_are_torn_tail(tmp_path, name):
    """Some file systems keep the length of a file and lose its last bytes."""
    good = b"one\ntwo\n" if name == "a.csv" else gzip_member(b"one\ntwo\n")
    (tmp_path / name).write_bytes(good + b"\0" * 5000)
    assert recover_tail(tmp_path / name).lost_bytes == 5000
    assert (tmp_path / name).read_bytes() == good


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson.gz"])
def test_damage_before_good_rows_raises_broken_file(tmp_path, name):
    """One bad byte must not discard all later rows."""
    good = b"one\ntwo\n" if name == "a.csv" else gzip_member(b"one\ntwo\n")
    damaged_part = b"th\0ree\n" if name == "a.csv" else gzip_member(b"three\n")[:-3]
    (tmp_path / name).write_bytes(good + damaged_part + good)
    with pytest.raises(BrokenFile, match=f"byte {len(good)}.*correct the file"):
        recover_tail(tmp_path / name)
    assert (tmp_path / name).read_bytes() == good + damaged_part + good


@pytest.mark.parametrize("torn", [b"", b"2,", b"2,x", b"\0\0\0", b"\xff\xfe"])
def test_whole_rows_stop_at_torn_tail(tmp_path, torn):
    """The torn tail is still in the file when the next start reads it."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"n,text\n1,one\n" + torn)
    assert list(whole_rows(path, scan(path))) == [{"n": "1", "text": "one"}]
    assert list(whole_rows(tmp_path / "none.csv", FileTail())) == []


def test_lines_longer_than_one_read_are_whole(tmp_path):
    """A diff of a volatile minute may be longer than one read."""
    long = b"x" * 200_000
    (tmp_path / "a.csv").write_bytes(b"head\n" + long + b"\nlast\ntorn")
    assert scan(tmp_path / "a.csv") == FileTail(3, (b"head", long), b"last", 200_011, 4)


def read_compressed(compressed, begin=0):
    """Return the text of a gzip stream from an offset on, the ends of its members, and the final error."""
    stream = io.BytesIO(compressed)
    stream.seek(begin)
    text, ends = [], []
    try:
        for piece, end in unpacked(stream):
            text.append(piece)
            ends += [] if end is None else [end]
    except (zlib.error, EOFError) as error:
        return b"".join(text), ends, repr(error)
    return b"".join(text), ends, None


def damaged(compressed, random):
    """Return a gzip stream with one random damage, or none."""
    at = random.randrange(len(compressed))
    return random.choice(
        [
            compressed,
            compressed[:at],
            compressed[:at] + bytes([compressed[at] ^ 1 << random.randrange(8)]) + compressed[at + 1 :],
            compressed[:at] + bytes(random.randrange(1, 60)) + compressed[at:],
            compressed[:at] + compressed[at + random.randrange(1, 60) :],
            compressed + random.randbytes(random.randrange(1, 40)),
            compressed[:at] + random.randbytes(4000),
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(150))
def test_text_of_damaged_gzip_is_same_with_isal_and_zlib(seed, monkeypatch):
    """Text, member ends and error are the same with zlib and isal."""
    pytest.importorskip("isal")
    random = Random(seed)
    members = [
        gzip.compress(
            b"".join(b"%d,%d\n" % (n, random.randrange(10**9)) for n in range(random.choice([0, 3, 400, 40_000]))),
            random.choice([0, 1, 6, 9]),
        )
        for _ in range(random.randrange(1, 4))
    ]
    compressed = damaged(b"".join(members), random)
    begin = len(members[0]) if seed % 3 == 0 and len(members) > 1 else 0
    with_isal = read_compressed(compressed, begin)
    monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    with_zlib = read_compressed(compressed, begin)
    assert with_isal == with_zlib or "unknown header flags" in str(with_zlib[2])  # reserved bits, which isal ignores
