"""Files of a public server: complete and verified, or missing."""

from contextlib import contextmanager

import pytest
from file_server import serving_files

from mm.errors import BrokenFile, TryLater, UsageError
from mm.market_data.downloads import ATTEMPTS, CHECKSUM, LONGEST_PAUSE_S, Downloads, NotPublished

PLACE = "/data/spot/day.zip"
BYTES = bytes(range(256)) * 40


@pytest.fixture
def files():
    with serving_files() as found:
        found.put(PLACE, BYTES)
        yield found


@contextmanager
def loader(files, folder, most=10**6):
    """Downloads that note their progress and their pauses, and wait for nothing."""
    shown, pauses = [], []

    @contextmanager
    def bar(label, total):
        shown.append([label, total, 0])

        def advance(count):
            shown[-1][2] += count

        yield advance

    with Downloads(files.url, folder, most, bar, pauses.append) as downloads:
        downloads.shown, downloads.pauses = shown, pauses
        yield downloads


def test_a_file_is_loaded_once_and_verified_afterwards(files, tmp_path):
    """The second call requests nothing from the server; the bar has counted every byte."""
    with loader(files, tmp_path) as downloads:
        first = downloads.load(PLACE)
        asked = len(files.asked)
        assert downloads.load(PLACE) == first
        assert len(files.asked) == asked
        assert downloads.shown == [["day.zip", len(BYTES), len(BYTES)]]
    assert first.path.read_bytes() == BYTES
    assert (first.size, first.url) == (len(BYTES), files.url + PLACE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.zip", f"day.zip{CHECKSUM}"]


def test_what_is_published_is_known_without_loading_it(files, tmp_path):
    with loader(files, tmp_path) as downloads:
        assert downloads.published(PLACE)
        assert not downloads.published("/data/spot/other.zip")
    assert {method for method, *_ in files.asked} == {"HEAD"}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_not_tried_again(files, tmp_path):
    with loader(files, tmp_path) as downloads:
        with pytest.raises(NotPublished, match=r"other\.zip: not published \(404\)"):
            downloads.load("/data/spot/other.zip")
        assert downloads.pauses == []


@pytest.mark.parametrize("part", [BYTES[:5000], BYTES, b"x" * 5000, BYTES + b"more"])
def test_a_part_of_an_earlier_call_is_continued_or_replaced(files, tmp_path, part):
    """Whatever it holds, the file that gets the name is the published one."""
    (tmp_path / "day.zip.part").write_bytes(part)
    with loader(files, tmp_path) as downloads:
        assert downloads.load(PLACE).path.read_bytes() == BYTES
    ranges = [wanted for _, place, wanted in files.asked if place == PLACE and wanted]
    assert ranges == [f"bytes={len(part)}-"]
    assert not (tmp_path / "day.zip.part").exists()


def test_pauses_grow_and_end_in_an_error_that_says_what_is_kept(files, tmp_path):
    files.broken[PLACE] = -100
    with loader(files, tmp_path) as downloads:
        with pytest.raises(TryLater, match=f"it responds with 503, {ATTEMPTS} times") as later:
            downloads.load(PLACE)
        assert len(downloads.pauses) == ATTEMPTS - 1
        assert downloads.pauses == sorted(downloads.pauses)
        assert 1 < downloads.pauses[-1] <= LONGEST_PAUSE_S
    assert f"copy day.zip and its {CHECKSUM} into {tmp_path}" in str(later.value)


def test_attempts_that_bring_bytes_do_not_count(files, tmp_path):
    """A connection that breaks off after each kilobyte still ends with the whole file."""
    files.broken[PLACE] = 2 * ATTEMPTS
    assert len(BYTES) // 1000 < 2 * ATTEMPTS
    with loader(files, tmp_path) as downloads:
        assert downloads.load(PLACE).path.read_bytes() == BYTES


def test_other_bytes_than_the_published_ones_are_not_kept(files, tmp_path):
    files.put(PLACE, BYTES, sha256="0" * 64)
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match="nothing was kept"):
        downloads.load(PLACE)
    assert not list(tmp_path.glob("day.zip.part"))
    (tmp_path / "day.zip").write_bytes(BYTES)
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match="remove it and try again"):
        downloads.load(PLACE)
    assert (tmp_path / "day.zip").read_bytes() == BYTES  # of whoever put it there


@pytest.mark.parametrize("text", [b"", b"deadbeef  day.zip\n", b"0" * 64 + b"  other.zip\n", b"0" * 5000])
def test_a_checksum_that_is_none_is_refused_and_not_kept(files, tmp_path, text):
    files.contents[PLACE + CHECKSUM] = text
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match=r"day\.zip\.CHECKSUM"):
        downloads.load(PLACE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_beyond_the_limit_is_refused_by_its_length(files, tmp_path):
    with (
        loader(files, tmp_path, most=1000) as downloads,
        pytest.raises(UsageError, match=r"was 0\.001: .* has 0\.0 MB"),
    ):
        downloads.load(PLACE)
    assert not (tmp_path / "day.zip").exists()
