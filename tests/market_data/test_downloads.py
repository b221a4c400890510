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
    """Downloads that record their progress and pauses, and do not wait."""
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


def test_file_is_downloaded_once_and_verified_on_later_calls(files, tmp_path):
    """The second call sends no request; the progress bar has counted every byte."""
    with loader(files, tmp_path) as downloads:
        first = downloads.load(PLACE)
        request_count = len(files.requests)
        assert downloads.load(PLACE) == first
        assert len(files.requests) == request_count
        assert downloads.shown == [["day.zip", len(BYTES), len(BYTES)]]
    assert first.path.read_bytes() == BYTES
    assert (first.size, first.url) == (len(BYTES), files.url + PLACE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.zip", f"day.zip{CHECKSUM}"]


def test_published_checks_with_head_requests_only(files, tmp_path):
    with loader(files, tmp_path) as downloads:
        assert downloads.published(PLACE)
        assert not downloads.published("/data/spot/other.zip")
    assert {method for method, *_ in files.requests} == {"HEAD"}
    assert list(tmp_path.iterdir()) == []


def test_missing_file_raises_not_published_without_retries(files, tmp_path):
    with loader(files, tmp_path) as downloads:
        with pytest.raises(NotPublished, match=r"other\.zip: not published \(404\)"):
            downloads.load("/data/spot/other.zip")
        assert downloads.pauses == []


@pytest.mark.parametrize("part", [BYTES[:5000], BYTES, b"x" * 5000, BYTES + b"more"])
def test_partial_file_of_an_earlier_call_is_continued_or_replaced(files, tmp_path, part):
    """The final file is the published one, whatever the partial file contains."""
    (tmp_path / "day.zip.part").write_bytes(part)
    with loader(files, tmp_path) as downloads:
        assert downloads.load(PLACE).path.read_bytes() == BYTES
    ranges = [wanted for _, place, wanted in files.requests if place == PLACE and wanted]
    assert ranges == [f"bytes={len(part)}-"]
    assert not (tmp_path / "day.zip.part").exists()


def test_pauses_grow_and_end_in_an_error_with_a_remedy(files, tmp_path):
    files.broken[PLACE] = -100
    with loader(files, tmp_path) as downloads:
        with pytest.raises(TryLater, match=f"HTTP 503, {ATTEMPTS} times") as later:
            downloads.load(PLACE)
        assert len(downloads.pauses) == ATTEMPTS - 1
        assert downloads.pauses == sorted(downloads.pauses)
        assert 1 < downloads.pauses[-1] <= LONGEST_PAUSE_S
    assert f"copy day.zip and its {CHECKSUM} into {tmp_path}" in str(later.value)


def test_attempts_that_receive_bytes_are_not_counted(files, tmp_path):
    """The download completes although the connection breaks off after each kilobyte."""
    files.broken[PLACE] = 2 * ATTEMPTS
    assert len(BYTES) // 1000 < 2 * ATTEMPTS
    with loader(files, tmp_path) as downloads:
        assert downloads.load(PLACE).path.read_bytes() == BYTES


def test_bytes_with_another_checksum_are_not_kept(files, tmp_path):
    files.put(PLACE, BYTES, sha256="0" * 64)
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match="nothing was kept"):
        downloads.load(PLACE)
    assert not list(tmp_path.glob("day.zip.part"))
    (tmp_path / "day.zip").write_bytes(BYTES)
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match="remove it and retry"):
        downloads.load(PLACE)
    assert (tmp_path / "day.zip").read_bytes() == BYTES  # it was put there by the user


@pytest.mark.parametrize("text", [b"", b"deadbeef  day.zip\n", b"0" * 64 + b"  other.zip\n", b"0" * 5000])
def test_invalid_checksum_file_is_rejected_and_not_kept(files, tmp_path, text):
    files.contents[PLACE + CHECKSUM] = text
    with loader(files, tmp_path) as downloads, pytest.raises(BrokenFile, match=r"day\.zip\.CHECKSUM"):
        downloads.load(PLACE)
    assert list(tmp_path.iterdir()) == []


def test_file_beyond_the_limit_is_rejected_by_its_length(files, tmp_path):
    with (
        loader(files, tmp_path, most=1000) as downloads,
        pytest.raises(UsageError, match=r"was 0\.001: .* has 0\.0 MB"),
    ):
        downloads.load(PLACE)
    assert not (tmp_path / "day.zip").exists()
