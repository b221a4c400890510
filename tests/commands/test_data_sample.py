"""``mm data sample``: fetched, continued and verified from a server on loopback, or copied from a folder."""

import gzip
import hashlib
from contextlib import contextmanager

import pytest

from file_server import serving_files
from mm.errors import BrokenFile, DataError, UsageError
from mm.market_data.samples import SAMPLES, Sample, SampleFile, fetch_sample, sample_of
from support import SHARED, run_mm

DATA = bytes(range(256)) * 40


@contextmanager
def no_bar(_label, _total):
    yield lambda _count: None


@pytest.fixture
def sample():
    file = SampleFile("data/a.csv", len(DATA), hashlib.sha256(DATA).hexdigest())
    return Sample("one", "a market", "someone/repo/commit", "MIT", "--symbol X", (file,))


def test_sample_is_fetched_continued_and_verified(tmp_path, sample):
    """A download that breaks off is continued by a range; no checksum is asked of a server that has none."""
    with serving_files() as files:
        at = sample.url(sample.files[0])
        files.contents[at] = DATA
        files.broken[at] = 1
        (path,) = fetch_sample(sample, tmp_path / "samples", None, files.url, no_bar)
        assert path.read_bytes() == DATA
        assert [place for _, place, _ in files.requests] == [at] * 2
        fetch_sample(sample, tmp_path / "samples", None, files.url, no_bar)
        assert len(files.requests) == 2
        assert [path.name for path in (tmp_path / "samples").iterdir()] == ["a.csv"]
        files.contents[at] = DATA[:-1] + b"x"
        with pytest.raises(BrokenFile, match="sha256"):
            fetch_sample(sample, tmp_path / "other", None, files.url, no_bar)
        assert not list((tmp_path / "other").glob("*.csv"))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_sample_is_copied_from_a_folder_that_has_it(tmp_path, sample, name):
    """Plain or compressed, anywhere below it; other bytes are refused."""
    kept = tmp_path / "kept" / "deep"
    kept.mkdir(parents=True)
    written = gzip.compress if name.endswith("gz") else bytes
    (kept / name).write_bytes(written(DATA))
    (path,) = fetch_sample(sample, tmp_path / "samples", tmp_path / "kept", "http://127.0.0.1:9", no_bar)
    assert path.read_bytes() == DATA
    path.unlink()
    (kept / name).write_bytes(written(DATA[1:]))
    with pytest.raises(BrokenFile, match="not those that were published"):
        fetch_sample(sample, tmp_path / "samples", tmp_path / "kept", "http://127.0.0.1:9", no_bar)
    with pytest.raises(DataError, match="mm_samples"):
        fetch_sample(sample, tmp_path / "samples", tmp_path / "samples", "http://127.0.0.1:9", no_bar)


def test_unknown_sample_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="nexousdt, btcusdt, usdm"):
        sample_of("nexo")
    listed = run_mm("data", "sample", cwd=tmp_path).stdout
    assert all(name in listed for name in SAMPLES)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded data in ../shared/data")
@pytest.mark.parametrize("name", SAMPLES)
def test_recorded_files_are_those_that_were_published(tmp_path, name):
    """Every pinned hash is that of the recorded data; the command to import them is printed."""
    done = run_mm("data", "sample", name, cwd=tmp_path, MM_SAMPLES=str(SHARED / "data"))
    assert done.returncode == 0, done.stderr
    assert sum(path.stat().st_size for path in (tmp_path / "samples" / name).iterdir()) == SAMPLES[name].size
    assert f"mm data import samples/{name}/" in done.stdout
