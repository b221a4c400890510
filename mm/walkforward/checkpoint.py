"""What a run has found out so far, on disk: a killed run's successor takes it up and goes on from there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mm.backtest.journal import Journal
from mm.calibration.simulated import Played
from mm.whole_file import whole_file

TABLES = ("orders", "fills", "state", "mids")


class Checkpoint:
    """Values by name, each worked out once; lines of one file, and a file for each run of simulated orders.

    A value passes through JSON also where it has just been worked out, so a run that is taken up again
    computes with the same numbers as one that never stopped.

    Attributes:
        found: How many values lay there already.
    """

    def __init__(self, folder: Path) -> None:
        """Open *folder*, which may hold what an earlier run left; its last line may be torn."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "windows.jsonl"
        self._values = _read(self._path)
        self.found = len(self._values)

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the value called *name*; *make* works it out where it is not known."""
        if name not in self._values:
            line = json.dumps([name, make()])
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")  # once it is closed, a kill of this process does not take it back
            self._values[name] = json.loads(line)[1]
        return self._values[name]

    def played(self, name: str, play: Callable[[], Played]) -> Played:
        """Return the run of simulated orders called *name*; *play* plays it where it is not known."""
        import numpy as np

        path = self._folder / f"{name}.npz"
        if not path.exists():
            run = play()
            anchors = np.array(run.anchors, np.float64).reshape(-1, 3)
            tables = {table: getattr(run.journal, table) for table in TABLES}
            with whole_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, anchors=anchors, **tables)
        with np.load(path) as kept:
            tables = {table: kept[table] for table in TABLES}
            journal = Journal(**tables, fill_reasons=())
            taken = [(int(us), buy, sell) for us, buy, sell in kept["anchors"].tolist()]
        return Played(journal, taken)


def _read(path: Path) -> dict[str, Any]:
    """Return the whole lines of *path*, and cut off what a killed run left of its last one."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return dict(json.loads(line) for line in whole.splitlines())
