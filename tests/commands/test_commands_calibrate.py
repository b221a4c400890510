"""The tables of simulated runs, written beside the play of the next one."""

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
    """A run that keeps a list of its outputs."""

    said: list[tuple[str, int, str]] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return Path(name)

    def output(self, name: str, rows: int, *, sha256: str) -> None:
        self.said.append((name, rows, sha256))

    def timing(self, _: str) -> Any:
        return nullcontext()


@dataclass
class Tables:
    """A result that writes when it may, or fails."""

    rows: int
    journal: object = None
    may: Event | None = None

    def write_tables(self, folder: Path, hashes: dict[str, str], form: str) -> dict[str, int]:
        if self.may:
            self.may.wait(10)
        if self.rows < 0:
            raise OSError(28, "No space left on device")
        hashes[f"orders.{form}"] = f"hash of {folder}"
        return {f"orders.{form}": self.rows}


def test_the_next_run_is_played_while_the_last_one_is_written():
    """And each file is listed with its own rows and hash, in the order of the runs."""
    folder, may = Folder(), Event()
    with TableWriter(folder, "parquet") as tables:
        one = tables.played("a", lambda: Played(None, None, Tables(1, may=may)))
        assert isinstance(one.result, Tables)
        assert folder.said == []

        def play():
            may.set()  # the first may be written from now on
            return Played(None, None, Tables(2))

        tables.played("b", play)
        tables.played("c", lambda: Played(None, None, None))  # one that a checkpoint kept
        tables.finish()
        tables.finish()
    assert folder.said == [
        ("runs/a/orders.parquet", 1, "hash of runs/a"),
        ("runs/b/orders.parquet", 2, "hash of runs/b"),
    ]


def test_tables_that_cannot_be_written_end_the_command():
    with TableWriter(Folder(), "csv") as tables:
        tables.played("a", lambda: Played(None, None, Tables(-1)))
        with pytest.raises(OSError, match="No space"):
            tables.finish()
