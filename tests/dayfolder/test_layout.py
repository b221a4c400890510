"""The layout of a day folder: names, columns, days."""

import gzip
import json

import pytest

from mm import DayFolder
from mm.dayfolder.layout import day_folder, days_of, existing, frame_columns, schema_json, snapshot_event_id
from mm.errors import MissingDay, UsageError
from mm.markets.binance import SPOT


def test_files_have_contract_names(tmp_path):
    """User scripts open files by these names."""
    folder = DayFolder(tmp_path, "btcusdt", "20251216")
    names = [folder.relative(path) for path in (*folder.streams(), folder.instrument, folder.schema, folder.manifest)]
    assert names == [
        "events_BTCUSDT_20251216.csv",
        "gaps_BTCUSDT_20251216.csv",
        "diffs/depth_diffs_BTCUSDT_20251216.ndjson.gz",
        "orderbook_ws_depth_BTCUSDT_20251216.csv",
        "trades_ws_BTCUSDT_20251216.csv",
        "contract_BTCUSDT_20251216.csv",
        "best_BTCUSDT_20251216.csv",
        "quarantine/frames_BTCUSDT_20251216.ndjson.gz",
        "instrument.json",
        "schema.json",
        "manifest_BTCUSDT_20251216.json",
    ]
    assert folder.path == tmp_path / "BTCUSDT" / "20251216"
    assert folder.relative(folder.snapshot(7, "resync")) == "snapshots/snapshot_7_resync.csv"


def test_frame_columns_are_ordered_by_level():
    """Level 1 is before level 2, bid before ask, and later columns are last."""
    assert ",".join(frame_columns(2)) == (
        "event_time_ms,recv_time_ms,recv_seq,run_id,epoch_id,bid1_price,bid1_qty,ask1_price,ask1_qty,"
        "bid2_price,bid2_qty,ask2_price,ask2_qty,recv_time_us,last_update_id"
    )


def test_existing_finds_compressed_or_plain_file(tmp_path):
    """Readers accept compressed and plain files."""
    folder = DayFolder(tmp_path, "A", "20251216")
    folder.diffs.parent.mkdir(parents=True)
    assert existing(folder.trades) is None
    compressed = folder.trades.with_name(folder.trades.name + ".gz")
    compressed.write_bytes(gzip.compress(b""))
    assert existing(folder.trades) == compressed
    plain = folder.diffs.with_suffix("")
    plain.write_text("")
    assert existing(folder.diffs) == plain
    folder.diffs.write_bytes(b"")
    assert existing(folder.diffs) == folder.diffs


def test_symbol_may_be_any_letters_but_no_path(tmp_path):
    """Symbols are upper case on disk, may be non-ASCII, and never leave the data folder."""
    assert DayFolder(tmp_path, "币安usdt", "20251216").symbol == "币安USDT"
    for wrong in ("", "../BTC", "A/B", "A,B", ".hidden", "A B"):
        with pytest.raises(UsageError, match="symbol"):
            DayFolder(tmp_path, wrong, "20251216")


def test_symbol_and_day_are_taken_from_folder_path(tmp_path, monkeypatch):
    """The path may be relative."""
    path = tmp_path / "BTCUSDT" / "20251216"
    path.mkdir(parents=True)
    monkeypatch.chdir(path)
    assert DayFolder.at(".") == DayFolder(tmp_path, "BTCUSDT", "20251216")
    with pytest.raises(UsageError, match="YYYYMMDD"):
        DayFolder.at(tmp_path)


def test_missing_day_names_the_neighbouring_day(tmp_path):
    """A window that opens before midnight in Berlin is looked for under the next date."""
    (tmp_path / "NEXOUSDT" / "20240723").mkdir(parents=True)
    with pytest.raises(MissingDay, match=r"Berlin date.*20240723 is there"):
        day_folder(tmp_path, "NEXOUSDT", "2024-07-24")
    with pytest.raises(MissingDay) as far:
        day_folder(tmp_path, "NEXOUSDT", "20240725")
    assert "Berlin" not in str(far.value)
    assert day_folder(tmp_path, "NEXOUSDT", "2024-07-23").day == "20240723"


def test_missing_day_message_lists_available_days(tmp_path):
    """A mistyped day gets a suggestion."""
    for day in ("20251217", "20251216", "notes"):
        (tmp_path / "BTCUSDT" / day).mkdir(parents=True)
    assert day_folder(tmp_path, "btcusdt", "20251216").path.is_dir()
    assert days_of(tmp_path, "BTCUSDT") == ("20251216", "20251217")
    with pytest.raises(MissingDay, match="BTCUSDT/20251218; available days: 20251216, 20251217"):
        day_folder(tmp_path, "BTCUSDT", "20251218")
    with pytest.raises(MissingDay, match="symbols: BTCUSDT"):
        day_folder(tmp_path, "ETHUSDT", "20251216")
    with pytest.raises(MissingDay, match="symbols: none"):
        day_folder(tmp_path / "nowhere", "ETHUSDT", "20251216")


def test_schema_contains_unit_of_exchange_timestamps(tmp_path):
    """E and T are stored as received; the schema contains their unit."""
    schema = json.loads(schema_json(DayFolder(tmp_path, "A", "20251216"), 5, "us", SPOT))
    assert (schema["schema_version"], schema["units"]["E"], schema["units"]["T"], schema["top_n"]) == (1, "us", "us", 5)
    assert schema["columns"]["orderbook_ws_depth"] == list(frame_columns(5))


def test_snapshot_name_contains_its_event_id(tmp_path):
    """Names of other files give None."""
    folder = DayFolder(tmp_path, "A", "20251216")
    assert snapshot_event_id(folder.snapshot(12, "refresh")) == 12
    assert snapshot_event_id(tmp_path / "snapshot_12_refresh.csv.gz") == 12
    for name in ("snapshot_12.csv", "snapshot_x_initial.csv", "snapshot_1_initial.csv.tmp", "note_1_initial.csv"):
        assert snapshot_event_id(tmp_path / name) is None
