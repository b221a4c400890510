"""Files of a sealed day that differ from its manifest are not used."""

import os

import pytest

from mm import DayFolder, load_day
from mm.base.atomic_file import VerifiedFiles
from mm.dayfolder import seal
from mm.dayfolder.seal import altered, require_sealed
from mm.errors import BrokenFile


def settle(folder):
    """Set old file times, so that every later write changes them."""
    for path in folder.path.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))


def test_harms_are_reported_only_for_sealed_day(recorded_day):
    """The manifest of an unsealed day may be outdated."""
    assert altered(recorded_day) == []
    recorded_day.trades.write_text("other\n")
    assert [one.path for one in altered(recorded_day)] == [recorded_day.trades]
    recorded_day.manifest.write_text(recorded_day.manifest.read_text().replace('"sealed": true', '"sealed": false'))
    assert altered(recorded_day) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda day: day.trades.write_bytes(day.trades.read_bytes()[:-1]), "bytes, and .* in the manifest"),
        (lambda day: day.trades.write_bytes(day.trades.read_bytes().replace(b"0.5", b"0.6", 1)), "its sha256 is"),
        (lambda day: day.gaps.unlink(), "it does not exist"),
        (lambda day: (day.snapshots / "snapshot_99_resync.csv").write_text("x"), "is not in the sealed manifest"),
        (lambda day: day.manifest.write_text(day.manifest.read_text().replace("SIMUSDT", "ABC", 1)), "it is of ABC"),
        (lambda day: day.manifest.write_text("{"), "not a manifest"),
    ],
)
def test_difference_from_manifest_raises_broken_file(recorded_day, damage, message):
    """The error has exit code 3 and describes the difference."""
    damage(recorded_day)
    with pytest.raises(BrokenFile, match=message) as raised:
        require_sealed(recorded_day)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"no row"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6", 1)),
        lambda path: path.unlink(),
    ],
    ids=["unreadable", "readable", "missing"],
)
def test_load_day_rejects_damaged_file_and_caches_no_tape(recorded_day, tmp_path, damage):
    """Reading and comparing run in parallel: the manifest takes precedence, and no tape is cached."""
    damage(recorded_day.trades)
    with pytest.raises(BrokenFile, match="the manifest") as raised:
        load_day(recorded_day, cache=tmp_path)
    assert str(recorded_day.trades) in str(raised.value)
    assert not list(tmp_path.glob("*.npy"))


def test_load_day_compares_every_file(recorded_day, tmp_path, monkeypatch):
    """Also with a kept tape, and where a file cannot be parsed."""
    hashed = []
    sha256_of = seal.sha256_of
    monkeypatch.setattr(seal, "sha256_of", lambda path: hashed.append(path) or sha256_of(path))
    monkeypatch.setattr("mm.base.atomic_file.FileIdentity.settled", lambda _identity: False)
    load_day(recorded_day, cache=tmp_path)
    files = set(hashed)
    assert {recorded_day.diffs, recorded_day.trades, recorded_day.frames} < files
    hashed.clear()
    assert load_day(recorded_day, cache=tmp_path).meta.cache == "hit"
    assert set(hashed) == files
    recorded_day.diffs.write_bytes(b"{}\n" + recorded_day.diffs.read_bytes()[3:])
    hashed.clear()
    with pytest.raises(BrokenFile, match=f"{recorded_day.diffs.name}: its sha256 is"):
        load_day(recorded_day)
    assert set(hashed) == files


def test_require_sealed_can_return_damaged_files(recorded_day):
    """With `damaged=True` the list of damaged files is returned."""
    recorded_day.gaps.unlink()
    assert [one.path for one in require_sealed(recorded_day, damaged=True)] == [recorded_day.gaps]


def test_file_is_hashed_once_per_identity(recorded_day, tmp_path, monkeypatch):
    """Unchanged files are not hashed again; after a write or a new file the day is compared again."""
    settle(recorded_day)
    memory, hashed = VerifiedFiles(tmp_path / "memory"), []
    sha256_of = seal.sha256_of
    monkeypatch.setattr(seal, "sha256_of", lambda path: hashed.append(path) or sha256_of(path))
    monkeypatch.setattr("mm.base.atomic_file.FileIdentity.settled", lambda _identity: True)
    assert altered(recorded_day, memory) == []
    files = len(hashed)
    assert files > 8
    assert altered(recorded_day, memory) == []
    assert len(hashed) == files
    data, stat = recorded_day.trades.read_bytes(), recorded_day.trades.stat()
    recorded_day.trades.write_bytes(data.replace(b"0.5", b"0.6", 1))
    os.utime(recorded_day.trades, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for _ in range(2):
        assert [one.path for one in altered(recorded_day, memory)] == [recorded_day.trades]
    recorded_day.trades.write_bytes(data)
    assert altered(recorded_day, memory) == []
    extra = recorded_day.snapshots / "snapshot_99_resync.csv"
    extra.write_text("x")
    assert [one.path for one in altered(recorded_day, memory)] == [extra]


def test_renamed_folder_is_rejected(recorded_day):
    """A copy under a wrong date must not be used as that date."""
    other = DayFolder(recorded_day.root, recorded_day.symbol, "20260106")
    recorded_day.path.rename(other.path)
    for path in list(other.path.rglob("*20260105*")):
        path.rename(path.with_name(path.name.replace("20260105", "20260106")))
    with pytest.raises(BrokenFile, match="it is of SIMUSDT 20260105"):
        require_sealed(other)
