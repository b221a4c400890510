"""Calibrate on the past, trade the next segment."""

import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mm.base.atomic_file import atomic_file
from mm.base.notebook import Picture, Shown, picture_of
from mm.calibration.calibrator import Calibrator
from mm.calibration.exposure import Played, RestingOrders
from mm.calibration.schedule import Schedule, Segment, schedule_of, segments_of
from mm.calibration.shared_strength import shared_strength
from mm.calibration.window_clustering import Memory, WindowClustering
from mm.calibration.window_fits import WindowFits
from mm.calibration.windows import Fallback, WindowFit, WindowPlan
from mm.walkforward.window_shapes import ShapeSampler, WindowShape

if TYPE_CHECKING:
    from mm.backtest.result import Result


RESTING = tuple(field.name for field in fields(RestingOrders))
_ONE_PARSER = Lock()


@dataclass(frozen=True, repr=False)
class WalkForward(Shown):
    """A finished walk-forward.

    Attributes:
        schedule: The parameters of every segment, each from data available before its start.
        result: The backtest over the whole tape; nothing is quoted before the first segment.
    """

    schedule: Schedule
    result: "Result"

    def lines(self) -> Iterator[str]:
        """Yield the first lines of the schedule, and the lines of the result."""
        yield from ("walk-forward", *list(self.schedule.lines())[:2], *list(self.result.lines())[:2])

    def plot(self) -> Picture:
        """Draw the charts of the backtest over time, with A and k in force."""
        return picture_of(self.result)


@dataclass(frozen=True)
class Study:
    schedule: Schedule
    fits: tuple[WindowFit, ...]
    shapes: tuple[WindowShape, ...] = ()
    deltas: tuple[float, ...] = ()


def study(
    calibrator: Calibrator,
    plan: WindowPlan,
    fallback: Fallback | None = None,
    memory: Memory = lambda _, make, *__: make(),
    step: Callable[[int], None] | None = None,
) -> Study:
    """Fit every window, and keep what pages and tables show of it; *memory* is `Checkpoint.value`."""
    windows = plan.over(calibrator.days)
    clustering = WindowClustering(calibrator, plan, memory) if plan.clustered else None
    own: list[WindowFit] = []
    segments: list[Segment] = []

    def fitted() -> Iterator[WindowFit]:
        for fit in WindowFits(calibrator, plan, memory=memory, clustering=clustering).each(windows):
            own.append(fit)
            yield fit

    fallback = fallback or Fallback()
    shown = ShapeSampler(calibrator, len(windows))
    for number, segment in enumerate(segments_of(windows, fitted(), fallback, calibrator.config.reference)):
        shown.add(number, segment, own[number])
        segments.append(segment)
        if step:
            step(1)
    shared = shared_strength(windows, own, calibrator.fit_alone)
    schedule = schedule_of(calibrator, plan, fallback, segments, clustering, shared)
    played = calibrator.config.distances if calibrator.played else ()
    return Study(schedule, tuple(own), tuple(shown.found), played)


class Checkpoint:
    """Computed values of a run by name, on disk, so that a run resumed after a kill need not repeat them.

    A line per value, and two files per run of simulated orders.
    """

    def __init__(self, folder: Path) -> None:
        """A torn last line of a killed run is removed."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "windows.jsonl"
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        # as JSON: many small objects would slow down garbage collection
        self._values = dict(msgspec.json.decode(line, type=tuple[str, msgspec.Raw]) for line in whole.splitlines())
        self.found = len(self._values)
        self._file = self._path.open("ab")
        weakref.finalize(self, self._file.close)

    def value(
        self,
        name: str,
        make: Callable[[], Any],
        keep: Callable[[Any], Any] | None = None,
        read: Callable[[Any], Any] | None = None,
    ) -> Any:
        if name not in self._values:
            made = make()
            kept = keep(made) if keep else made
            self._values[name] = value = msgspec.Raw(msgspec.json.encode(kept, enc_hook=lambda scalar: scalar.item()))
            self._file.write(msgspec.json.encode([name, value]) + b"\n")
            self._file.flush()  # it survives a kill of this process
            if read is not None:
                return made
        decoded = msgspec.json.decode(self._values[name])
        return read(decoded) if read else decoded

    def played(self, name: str, play: Callable[[], Played]) -> Played:
        path = self._folder / f"{name}.npz"
        if not path.exists():
            run = play()
            columns = {field: getattr(run.resting, field) for field in RESTING}
            with atomic_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **{name: column for name, column in columns.items() if column is not None})
            del run, columns
        # numpy parses the header of an array with Python's own parser, which fails in CPython 3.11 when two threads
        # enter it at once ("AST constructor recursion depth mismatch"); runs are played by two.
        with _ONE_PARSER, np.load(path) as kept:
            resting = RestingOrders(**{field: kept.get(field) for field in RESTING})
            return Played(resting)
