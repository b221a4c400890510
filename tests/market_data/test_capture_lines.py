import gzip
from random import Random

import pytest

from mm.errors import BrokenFile
from mm.market_data import captures as capture_lines
from mm.market_data.captures import CaptureLines

TEXT = b"".join(b"line %d\n" % n for n in range(2_000))


def noise(lines):
    """Return lines that compress poorly, so that their members are long."""
    return b"".join(b"%d %d\n" % (n, n * 2_654_435_761 % 2**64) for n in range(lines))


def read(tmp_path, raw):
    path = tmp_path / "capture"
    path.write_bytes(raw)
    lines = CaptureLines(path)
    received = [(line, lines.cut, lines.number) for line in lines]
    return lines, [line for line, cut, _ in received if not cut], [line for line, cut, _ in received if cut], received


@pytest.fixture(autouse=True, params=[64, 1 << 18])
def _chunks(request, monkeypatch):
    """Lines and members end anywhere in a chunk."""
    monkeypatch.setattr(capture_lines, "CHUNK_BYTES", request.param)


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda raw: gzip.compress(raw[:5_000]) + gzip.compress(raw[5_000:])]
)
def test_whole_file_returns_every_line(tmp_path, pack):
    """Plain, gzip, and gzip of many members that end in the middle of a line."""
    lines, whole, cut, received = read(tmp_path, pack(TEXT))
    assert whole == TEXT.split(b"\n")[:-1]
    assert (cut, lines.lost_bytes, lines.ends_early) == ([], 0, False)
    assert [number for _, _, number in received] == list(range(1, 2_001))


def test_last_line_without_a_newline_is_marked_as_cut(tmp_path):
    """Such a line may be whole; only its content shows it."""
    lines, whole, cut, _ = read(tmp_path, b"one\ntwo")
    assert (whole, cut, lines.number) == ([b"one"], [b"two"], 2)


def test_truncated_gzip_returns_all_its_whole_lines(tmp_path):
    """A copy was interrupted: the part that arrived is used, and the missing end is reported."""
    packed = gzip.compress(noise(3_000))
    lines, whole, cut, _ = read(tmp_path, packed[: len(packed) // 2])
    assert noise(3_000).startswith(b"\n".join(whole))
    assert 1_000 < len(whole) < 2_000
    assert (len(cut) <= 1, lines.ends_early, lines.lost_bytes) == (True, True, 0)


def test_members_after_a_torn_member_are_read(tmp_path):
    """A recorder was killed and another one appended: the lines of both are read, and none are joined."""
    torn = gzip.compress(noise(3_000))
    lines, whole, cut, _ = read(tmp_path, torn[: len(torn) // 2] + gzip.compress(TEXT))
    first = [line for line in whole if not line.startswith(b"line")]
    assert whole[len(first) :] == TEXT.split(b"\n")[:-1]
    assert len(set(first) & set(noise(3_000).split(b"\n"))) > 1_000
    assert len(cut) <= 1
    assert not lines.ends_early


def test_damage_in_the_last_member_is_counted_in_bytes(tmp_path):
    """The lines before the damage are used."""
    packed = bytearray(gzip.compress(noise(3_000)))
    half = len(packed) // 2
    packed[half:] = Random(7).randbytes(len(packed) - half)
    lines, whole, _, _ = read(tmp_path, bytes(packed))
    assert len(whole) > 1_000
    assert half - 1_000 < lines.lost_bytes <= half + 1


def test_zero_padding_after_a_gzip_is_ignored(tmp_path):
    """Tapes and block devices round up with zeros."""
    lines, whole, _, _ = read(tmp_path, gzip.compress(TEXT) + b"\0" * 1_000)
    assert (len(whole), lines.lost_bytes) == (2_000, 0)


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    """A progress bar must not stop before the end."""
    for name, raw in (("a", TEXT), ("b.gz", gzip.compress(TEXT))):
        done = []
        (tmp_path / name).write_bytes(raw)
        list(CaptureLines(tmp_path / name, done.append))
        assert done == sorted(done)
        assert done[-1] == len(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"\x28\xb5\x2f\xfd....", "zstd file; unpack it with `zstd -d`"),
        (b"BZh9....", "bzip2"),
        (b"PAR1....", "Parquet"),
        (b"\xfd7zXZ\0..", "xz"),
        (b"PK\x03\x04....", "zip"),
    ],
)
def test_other_packings_raise_broken_file_with_their_name(tmp_path, raw, message):
    """The error names the file, its packing and a remedy."""
    path = tmp_path / "capture"
    path.write_bytes(raw)
    with pytest.raises(BrokenFile, match=message) as error:
        CaptureLines(path)
    assert str(path) in str(error.value)


def test_missing_file_is_named_in_the_error(tmp_path):
    """The error contains the path."""
    with pytest.raises(BrokenFile, match=r"gone\.gz: cannot be read"):
        CaptureLines(tmp_path / "gone.gz")


def test_folder_is_rejected_with_an_example_file(tmp_path):
    """Downloads often give a folder of captures; the error shows how to pass its files."""
    with pytest.raises(BrokenFile, match=r"this is a folder; give the captures in it$"):
        CaptureLines(tmp_path)
    for name in ("b.gz", "a.gz"):
        (tmp_path / name).touch()
    with pytest.raises(BrokenFile, match=r"this is a folder; give the captures in it, such as .*/a\.gz$"):
        CaptureLines(tmp_path)


def test_too_long_line_raises_broken_file(tmp_path, monkeypatch):
    """Binary data must not fill the memory in search of a newline."""
    monkeypatch.setattr(capture_lines, "LONGEST_LINE", 100)
    with pytest.raises(BrokenFile, match="capture:2: a line of more than 100 bytes"):
        read(tmp_path, b"x\n" + b"y" * 1_000_000)
