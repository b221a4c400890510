"""The tables of simulated runs, written by the thread that plays them."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mm.calibration.exposure import Played
from mm.commands.calibrate import TableWriter


@dataclass
class Folder:
    """A run folder that keeps a list of its outputs."""

    outputs: list[tuple[str, int, str]] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return Path(name)

    def output(self, name: str, rows: int, *, sha256: str) -> None:
        self.outputs.append((name, rows, sha256))


@dataclass
class Tables:
    """A result whose writing fails if its number of rows is negative."""

    rows: int

    def write_tables(self, folder: Path, hashes: dict[str, str], form: str) -> dict[str, int]:
        if self.rows < 0:
            raise OSError(28, "No space left on device")
        hashes[f"orders.{form}"] = f"hash of {folder}"
        return {f"orders.{form}": self.rows}

    def write_fills(self, folder: Path, hashes: dict[str, str]) -> dict[str, int]:
        hashes["fills.csv"] = f"hash of {folder}"
        return {"fills.csv": self.rows}


def test_files_are_declared_by_run_with_their_rows_and_hashes():
    """Runs may be played in any order; a run that a checkpoint kept has no files."""
    folder = Folder()
    tables = TableWriter(folder, "parquet")
    for name, result in (("b", Tables(2)), ("a", Tables(1)), ("c", None)):
        assert tables.played(name, lambda result=result, **_: Played(None, result)).result is result
    assert folder.outputs == []
    tables.declare()
    assert folder.outputs == [
        ("runs/a/orders.parquet", 1, "hash of runs/a"),
        ("runs/b/orders.parquet", 2, "hash of runs/b"),
    ]


def test_repetitions_of_a_ladder_have_fills_alone():
    """Their orders are those of other seeds: eight times 100 MB on a busy day would be written otherwise."""
    folder = Folder()
    tables = TableWriter(folder, "csv")
    for name in ("ladder", "ladder_1"):
        assert tables.played(name, lambda **_: Played(None, Tables(3))).result
    tables.declare()
    assert folder.outputs == [
        ("runs/ladder/orders.csv", 3, "hash of runs/ladder"),
        ("runs/ladder_1/fills.csv", 3, "hash of runs/ladder_1"),
    ]


def test_failed_table_write_is_an_error_of_the_run():
    with pytest.raises(OSError, match="No space"):
        TableWriter(Folder(), "csv").played("a", lambda **_: Played(None, Tables(-1)))
