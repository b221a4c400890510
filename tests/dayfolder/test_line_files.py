"""Torn tails: what a crash leaves, and how far a file is good."""

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
    gzip_member,
    known_tail,
    newlines,
    scan,
    sound_tail,
    unpacked,
    whole_rows,
)
from mm.errors import BrokenFile

lines = st.lists(st.from_regex(r"[a-z0-9,]{1,30}", fullmatch=True), min_size=1, max_size=6)


def recover_tail(path, before=None):
    """Cut a file where it ends, as its writer does with the first rows, and return what was found."""
    found = sound_tail(path, before or FileTail())
    with ExitStack() as held:
        AppendFile(path, held, found.good_bytes).append(b"")
    return found


@given(st.lists(st.sampled_from([b"\n", b"\n" * 300, b"\n" * 8200, b"a", b"\n\x0b\xff" * 99]), max_size=9))
def test_newlines_are_counted_as_bytes_count_them(parts):
    """Compiled or not: on texts of any length, full of newlines or without one."""
    text = b"".join(parts)
    assert newlines(text) == text.count(b"\n")


def test_a_missing_or_empty_file_is_empty(tmp_path):
    """The first run of a day finds nothing."""
    assert scan(tmp_path / "none.csv") == FileTail()
    (tmp_path / "empty.ndjson.gz").write_bytes(b"")
    assert recover_tail(tmp_path / "empty.ndjson.gz") == FileTail()


@settings(max_examples=60)
@given(st.lists(lines, min_size=1, max_size=4), st.data())
def test_a_plain_file_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, flushes, data):
    """After kill -9 at any byte the file has only complete lines, and the loss is reported."""
    text = "".join(f"{line}\n" for flush in flushes for line in flush).encode()
    cut = data.draw(st.integers(0, len(text)))
    path = tmp_path_factory.mktemp("tail") / "a.csv"
    path.write_bytes(text[:cut])
    kept = text[: text[:cut].rfind(b"\n") + 1]
    found = recover_tail(path)
    whole = kept.splitlines()
    assert path.read_bytes() == kept
    assert (found.lines, found.head, found.last) == (len(whole), tuple(whole[:2]), whole[-1] if whole else b"")
    assert found.lost_bytes == cut - len(kept)


@settings(max_examples=60)
@given(st.lists(lines, min_size=1, max_size=4), st.data())
def test_a_gzip_file_cut_anywhere_keeps_its_whole_members(tmp_path_factory, flushes, data):
    """Stock readers read every row of a recovered file."""
    members = [gzip_member("".join(f"{line}\n" for line in flush).encode()) for flush in flushes]
    packed = b"".join(members)
    cut = data.draw(st.integers(0, len(packed)))
    path = tmp_path_factory.mktemp("tail") / "a.ndjson.gz"
    path.write_bytes(packed[:cut])
    ends = [sum(map(len, members[: n + 1])) for n in range(len(members))]
    whole = sum(end <= cut for end in ends)
    found = recover_tail(path)
    rows = [line for flush in flushes[:whole] for line in flush]
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == rows
    assert (found.lines, found.lost_bytes) == (len(rows), cut - (ends[whole - 1] if whole else 0))
    assert scan(path).lost_bytes == 0


@settings(max_examples=60)
@given(
    st.lists(lines, min_size=1, max_size=4), st.sampled_from(["a.csv", "a.ndjson.gz"]), st.binary(max_size=9), st.data()
)
def test_what_is_known_to_be_good_need_not_be_read_again(tmp_path_factory, flushes, name, torn, data):
    """Reading on from there finds what reading all of it finds."""
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
def test_a_torn_second_line_is_none_of_the_first_two(tmp_path, name):
    """It is after the known part, and is removed."""
    good, more = (b"one\n", b"tw") if name == "a.csv" else (gzip_member(b"one\n"), gzip_member(b"two\n")[:-1])
    (tmp_path / name).write_bytes(good + more)
    assert recover_tail(tmp_path / name, known_tail(tmp_path / name, 1, len(good))).head == (b"one",)
    (tmp_path / name).write_bytes(good + b"\0")
    assert known_tail(tmp_path / name, 1, len(good)).head == (b"one",)


def test_what_does_not_end_with_a_row_is_not_known(tmp_path):
    """However it came into a manifest, nothing may be appended behind it."""
    texts = {"a.csv": b"one\ntw", "a.ndjson.gz": gzip_member(b"one\ntw"), "b.ndjson.gz": gzip_member(b"one\n")[:-1]}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
        assert known_tail(tmp_path / name, 1, len(text)) is None


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson.gz"])
def test_zeros_after_a_power_cut_are_a_torn_tail(tmp_path, name):
    """Some file systems keep the length of a file and lose its last bytes."""
    good = b"one\ntwo\n" if name == "a.csv" else gzip_member(b"one\ntwo\n")
    (tmp_path / name).write_bytes(good + b"\0" * 5000)
    assert recover_tail(tmp_path / name).lost_bytes == 5000
    assert (tmp_path / name).read_bytes() == good


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson.gz"])
def test_damage_with_good_rows_behind_it_is_not_cut(tmp_path, name):
    """A bad byte in the morning must not cost the afternoon."""
    good = b"one\ntwo\n" if name == "a.csv" else gzip_member(b"one\ntwo\n")
    hurt = b"th\0ree\n" if name == "a.csv" else gzip_member(b"three\n")[:-3]
    (tmp_path / name).write_bytes(good + hurt + good)
    with pytest.raises(BrokenFile, match=f"byte {len(good)}.*correct the file"):
        recover_tail(tmp_path / name)
    assert (tmp_path / name).read_bytes() == good + hurt + good


@pytest.mark.parametrize("torn", [b"", b"2,", b"2,x", b"\0\0\0", b"\xff\xfe"])
def test_rows_are_read_up_to_where_the_file_is_good(tmp_path, torn):
    """What is torn is still there when a start reads what earlier runs left."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"n,text\n1,one\n" + torn)
    assert list(whole_rows(path, scan(path))) == [{"n": "1", "text": "one"}]
    assert list(whole_rows(tmp_path / "none.csv", FileTail())) == []


def test_lines_longer_than_a_read_are_whole(tmp_path):
    """A diff of a wild minute is longer than one read."""
    long = b"x" * 200_000
    (tmp_path / "a.csv").write_bytes(b"head\n" + long + b"\nlast\ntorn")
    assert scan(tmp_path / "a.csv") == FileTail(3, (b"head", long), b"last", 200_011, 4)


def read_packed(packed, begin=0):
    """Return the text of a gzip stream from a place on, the ends of its members, and the error that ended it."""
    stream = io.BytesIO(packed)
    stream.seek(begin)
    text, ends = [], []
    try:
        for piece, end in unpacked(stream):
            text.append(piece)
            ends += [] if end is None else [end]
    except (zlib.error, EOFError) as error:
        return b"".join(text), ends, repr(error)
    return b"".join(text), ends, None


def damaged(packed, random):
    """Return a gzip stream with one damage of any kind, or none."""
    at = random.randrange(len(packed))
    return random.choice(
        [
            packed,
            packed[:at],
            packed[:at] + bytes([packed[at] ^ 1 << random.randrange(8)]) + packed[at + 1 :],
            packed[:at] + bytes(random.randrange(1, 60)) + packed[at:],
            packed[:at] + packed[at + random.randrange(1, 60) :],
            packed + random.randbytes(random.randrange(1, 40)),
            packed[:at] + random.randbytes(4000),
        ]
    )


@pytest.mark.parametrize("seed", range(150))
def test_text_of_a_damaged_file_does_not_depend_on_the_library(seed, monkeypatch):
    """Text, ends of members and error are those of zlib, with isal and without."""
    pytest.importorskip("isal")
    random = Random(seed)
    members = [
        gzip.compress(
            b"".join(b"%d,%d\n" % (n, random.randrange(10**9)) for n in range(random.choice([0, 3, 400, 40_000]))),
            random.choice([0, 1, 6, 9]),
        )
        for _ in range(random.randrange(1, 4))
    ]
    packed = damaged(b"".join(members), random)
    begin = len(members[0]) if seed % 3 == 0 and len(members) > 1 else 0
    fast = read_packed(packed, begin)
    monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    plain = read_packed(packed, begin)
    assert fast == plain or "unknown header flags" in str(plain[2])  # reserved bits, which isal does not look at
