"""The tables of simulated runs, written while the next run is played."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from mm.calibration.simulated_runs import Played
from mm.commands.calibrate import TableWriter


@dataclass
class Folder:
    """A run folder that keeps a list of its outputs."""

    outputs: list[tuple[str, int, str]] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return Path(name)

    def output(self, name: str, rows: int, *, sha256: str) -> None:
        self.outputs.append((name, rows, sha256))

    def timing(self, _: str) -> Any:
        return nullcontext()


@dataclass
class Tables:
    """A result whose writing waits for an event, or fails."""

    rows: int
    journal: object = None
    allowed: Event | None = None

    def write_tables(self, folder: Path, hashes: dict[str, str], form: str) -> dict[str, int]:
        if self.allowed:
            self.allowed.wait(10)
        if self.rows < 0:
            raise OSError(28, "No space left on device")
        hashes[f"orders.{form}"] = f"hash of {folder}"
        return {f"orders.{form}": self.rows}

    def write_fills(self, folder: Path, hashes: dict[str, str]) -> dict[str, int]:
        hashes["fills.csv"] = f"hash of {folder}"
        return {"fills.csv": self.rows}


def test_next_run_is_played_while_the_previous_is_written():
    """Each file is listed with its own rows and hash, in the order of the runs."""
    folder, allowed = Folder(), Event()
    with TableWriter(folder, "parquet") as tables:
        first = tables.played("a", lambda: Played(None, None, Tables(1, allowed=allowed)))
        assert isinstance(first.result, Tables)
        assert folder.outputs == []

        def play():
            allowed.set()  # the first may be written from now on
            return Played(None, None, Tables(2))

        tables.played("b", play)
        tables.played("c", lambda: Played(None, None, None))  # a run that a checkpoint kept
        tables.finish()
        tables.finish()
    assert folder.outputs == [
        ("runs/a/orders.parquet", 1, "hash of runs/a"),
        ("runs/b/orders.parquet", 2, "hash of runs/b"),
    ]


def test_repetitions_of_a_ladder_have_fills_alone():
    """Their orders are those of other seeds: eight times 100 MB on a busy day would be written otherwise."""
    folder = Folder()
    with TableWriter(folder, "csv") as tables:
        for name in ("ladder", "ladder_1"):
            assert tables.played(name, lambda: Played(None, None, Tables(3))).result
        tables.finish()
    assert folder.outputs == [
        ("runs/ladder/orders.csv", 3, "hash of runs/ladder"),
        ("runs/ladder_1/fills.csv", 3, "hash of runs/ladder_1"),
    ]


def test_failed_table_write_raises_at_finish():
    with TableWriter(Folder(), "csv") as tables:
        tables.played("a", lambda: Played(None, None, Tables(-1)))
        with pytest.raises(OSError, match="No space"):
            tables.finish()
