"""Export of days to Parquet and import: row by row, with the same text."""

import gzip
import json
import shutil
from decimal import Decimal

import polars as pl
import pytest
from click.testing import CliRunner

from day_files import check
from mm import DayFolder
from mm.commands.data import data_export as export_command
from mm.commands.data import data_import_parquet as import_parquet_command
from mm.errors import BrokenFile, MissingDay, RunExists
from mm.formats.day_parquet import export_day, import_day
from scribe import first_run, later_runs


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = DayFolder(tmp_path_factory.mktemp("days"), "SIMUSDT", "20260105")
    later_runs(folder, first_run(folder))
    return folder


@pytest.fixture
def day(pristine, tmp_path):
    folder = DayFolder(tmp_path / "data", "SIMUSDT", "20260105")
    shutil.copytree(pristine.path, folder.path)
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out" / "SIMUSDT" / "20260105"


def texts(folder):
    """Return the uncompressed text of every file but lock and manifest, by its name without .gz."""
    contents = {}
    for path in folder.path.rglob("*"):
        if path.is_file() and path not in (folder.lock, folder.manifest):
            data = path.read_bytes()
            packed = path.suffix == ".gz"
            contents[folder.relative(path).removesuffix(".gz")] = gzip.decompress(data) if packed else data
    return contents


@pytest.mark.parametrize("packed", [False, True])
def test_reimported_day_has_the_same_text(day, target, tmp_path, packed):
    """Frames, trades, diffs, ledger, gaps, snapshots and quarantine, byte for byte; the day is sealed and sound."""
    original = texts(day)
    if packed:
        for path in (day.frames, day.trades, day.events):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        day.manifest.unlink()
    export_day(day, target)
    restored, _ = import_day(target, tmp_path / "back")
    assert restored.path == tmp_path / "back" / "SIMUSDT" / "20260105"
    assert texts(restored) == original
    report = check(restored)
    assert (report.defects, report.sealed) == ([], not packed)


def test_columns_are_typed_and_decimals_exact(day, target):
    """Counts are integers, and a price is the text that the exchange sent."""
    export_day(day, target)
    frames = pl.read_parquet(target / day.frames.with_suffix(".parquet").name)
    trades = pl.read_parquet(target / day.trades.with_suffix(".parquet").name)
    diffs = pl.read_parquet(next((target / "diffs").iterdir()))
    assert frames.schema["recv_time_us"] == frames.schema["last_update_id"] == pl.Int64
    assert frames.schema["bid1_price"] == pl.String
    assert trades.schema["is_buyer_maker"] == pl.Boolean
    assert trades["event_time_ms"].null_count() == 2
    assert diffs.schema["b"] == pl.List(pl.List(pl.String))
    rows = [json.loads(line) for line in gzip.decompress(day.diffs.read_bytes()).splitlines()]
    assert diffs.to_dicts() == rows
    assert trades["price"].cast(pl.Decimal(38, 8))[0] == Decimal("100.01")
    events = pl.read_parquet(target / day.events.with_suffix(".parquet").name)
    assert json.loads(events["details_json"][0])["version"] == "0"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace(",true,", ",TRUE,", 1), "fit its columns|exactly"),
        (lambda text: text.replace(",R1,", ",R1,0", 1), "exactly"),
        (lambda text: text.replace(",R1,", ',"R1",', 1) + "x,y\n", "fit its columns|exactly"),
        (lambda text: text[:-1], "no end"),
    ],
)
def test_day_that_cannot_be_exported_exactly_is_rejected(day, target, damage, message):
    """Silent rounding would only be discovered years later."""
    day.trades.write_text(damage(day.trades.read_text()))
    with pytest.raises(BrokenFile, match=message):
        export_day(day, target)
    assert not target.exists()
    assert not list(target.parent.glob("*"))


def test_changed_export_is_not_imported(day, target, tmp_path):
    """The manifest of the export has the text of every file."""
    export_day(day, target)
    path = target / day.trades.with_suffix(".parquet").name
    table = pl.read_parquet(path).with_columns(qty=pl.lit("0.6"))
    table.write_parquet(path)
    with pytest.raises(BrokenFile, match="differs from the exported text"):
        import_day(target, tmp_path / "back")
    assert not (tmp_path / "back" / "SIMUSDT" / "20260105").exists()
    path.write_bytes(b"no parquet")
    with pytest.raises(BrokenFile, match="not a Parquet file"):
        import_day(target, tmp_path / "back")


def test_existing_exports_and_days_are_not_overwritten(day, target, tmp_path):
    """And missing exports and days are reported."""
    export_day(day, target)
    with pytest.raises(RunExists):
        export_day(day, target)
    with pytest.raises(RunExists):
        import_day(target, day.root)
    with pytest.raises(MissingDay):
        import_day(tmp_path / "SIMUSDT" / "20260106", tmp_path / "back")
    with pytest.raises(MissingDay):
        export_day(DayFolder(tmp_path, "SIMUSDT", "20260106"), tmp_path / "x")


def test_commands_report_sizes(day, tmp_path, monkeypatch):
    """A user needs to know whether the export pays off."""
    monkeypatch.chdir(tmp_path)
    exported = CliRunner().invoke(export_command, [str(day.path), "--to", "parquet"])
    assert exported.exit_code == 0, exported.output
    assert "MB as Parquet" in exported.stdout
    assert exported.stdout.splitlines()[-1] == "out/parquet/SIMUSDT/20260105"
    flags = ["out/parquet/SIMUSDT/20260105", "--data-root", "back", "--json"]
    imported = CliRunner().invoke(import_parquet_command, flags)
    assert json.loads(imported.stdout)["path"] == "back/SIMUSDT/20260105"
