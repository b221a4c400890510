"""A sweep from its points to what came of them: what is known is taken, the rest is played, and all of it is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join
from typing import Any

from mm.assemble import unfitted
from mm.backtest_setup import Setup
from mm.code_identity import digest
from mm.sweep.engines import Outcomes
from mm.sweep.findings import Luck, Played
from mm.sweep.grid import Point
from mm.sweep.identity import Code, code_of, trial_of
from mm.sweep.play import Outcome, Task
from mm.sweep.store import Store

FIT = "poisson_fit.json"
Json = dict[str, Any]
Engine = Callable[[Sequence[Task]], Outcomes]


@dataclass(frozen=True)
class Ground:
    """What all points of a sweep stand on.

    Attributes:
        inputs: sha256 of the day's files.
        files: sha256 of the files that knobs name, by path.
        tapes: The folder of kept tapes.
        fitted: What points without fill parameters of their own are played on, as JSON; None: nothing.
        fit: The file that holds it.
        schedule: What every point is played on once more, as JSON; None: it is not.
    """

    inputs: Sequence[str]
    files: Mapping[Path, str]
    tapes: Path
    fitted: Json | None = None
    fit: Path | None = None
    schedule: Json | None = None


@dataclass(frozen=True)
class Job:
    """One backtest to be known.

    Attributes:
        trial: What it is, whatever version plays it.
        key: What it is kept under: trial and version.
        task: What plays it.
        forwarded: Whether it is played on the schedule.
    """

    trial: str
    key: str
    task: Task
    forwarded: bool


class Work:
    """The work of one sweep.

    Attributes:
        points: Of its grid.
        jobs: The different backtests by their keys, in the grid's order.
        sources: sha256 of all modules of users' models, by name.
        played: How many backtests had to be played.
        known: How many are known by now.
    """

    def __init__(self, points: Sequence[Point], ground: Ground, store: Store) -> None:
        """Find out which different backtests *points* are; the *store* keeps what was played."""
        self.points = points
        self.sources: dict[str, str] = {}
        self.played = self.known = 0
        self._ground, self._store = ground, store
        self._codes: dict[tuple[str, ...], Code] = {}
        self._of_point = {point.number: self._jobs(point) for point in points}
        self.jobs = {job.key: job for point in points for job in self._of_point[point.number]}

    @property
    def reused(self) -> int:
        """How many of the points' backtests were not played, because an earlier sweep or another point has."""
        return sum(map(len, self._of_point.values())) - self.played

    def run(self, engine: Engine, step: Callable[[int], None], *, reuse: bool) -> list[Played]:
        """Play what is not known, and return every point with what came of it.

        Args:
            engine: Plays tasks.
            step: Told how many different backtests became known.
            reuse: Whether what earlier sweeps kept counts.
        """
        self._store.tidy()
        found = self._kept() if reuse else {}
        missing = [job for key, job in self.jobs.items() if key not in found]
        self.played = len(missing)
        self.known = len(found)
        step(self.known)
        for place, outcome in engine([job.task for job in missing]):
            job = missing[place]
            found[job.key] = outcome
            if "error" not in outcome:
                said = {"trial": job.trial, "inputs": sorted(self._ground.inputs), "walkforward": job.forwarded}
                self._store.keep(job.key, {**said, **outcome})
            self.known += 1
            step(1)
        return [self._came(point, found) for point in self.points]

    def _kept(self) -> dict[str, Outcome]:
        """Return what earlier sweeps have kept of the jobs, as it is when it has just been played."""
        every = ((key, self._store.find(key)) for key in self.jobs)
        return {key: {name: kept[name] for name in ("summary", "series")} for key, kept in every if kept is not None}

    def command(self, number: int) -> list[str]:
        """Return the words that play the point of this *number* alone, with all places in them."""
        point = self.points[number - 1]
        return point.setup.command(point.texts, places=True, fit=self._ground.fit)

    def on_record(self) -> Luck:
        """Return the luck of all different trials on the same files that are kept, this sweep's among them."""
        inputs = sorted(self._ground.inputs)
        same = [kept for kept in self._store.every() if kept["inputs"] == inputs and not kept["walkforward"]]
        return Luck.of(list({kept["trial"]: kept["summary"] for kept in same}.values()))

    def _jobs(self, point: Point) -> list[Job]:
        ground = self._ground
        jobs = [self._job(point.setup, None if point.setup.fitted else ground.fitted, forwarded=False)]
        if ground.schedule is not None:
            setup = replace(point.setup, models=unfitted(point.setup.models))
            jobs.append(self._job(setup, ground.schedule, forwarded=True))
        return jobs

    def _job(self, setup: Setup, fitted: Json | None, *, forwarded: bool) -> Job:
        ground, code = self._ground, self._code_of(setup)
        trial = trial_of(setup, ground.inputs, ground.files, code.models, fitted)
        task = {
            "setup": setup.to_json(),
            "fitted": fitted,
            "tapes": str(ground.tapes.absolute()),
            "folder": str(Path.cwd()),
            "code": code.sources,
            "sources": code.models,
            "inputs": list(ground.inputs),
        }
        return Job(trial, digest([trial, code.exact, forwarded]), task, forwarded)

    def _code_of(self, setup: Setup) -> Code:
        models = setup.models
        named = (models.quote_model, models.fill_model, models.quote_params_json or "", models.fill_params_json or "")
        if named not in self._codes:
            self._codes[named] = code_of(models)
            self.sources |= self._codes[named].models
        return self._codes[named]

    def _came(self, point: Point, found: Mapping[str, Outcome]) -> Played:
        first, *more = (found[job.key] for job in self._of_point[point.number])
        trial = self._of_point[point.number][0].trial
        fit = self._ground.fit
        command = join(point.setup.command(point.texts, places=False, fit=None if fit is None else Path(FIT)))
        return Played(point.number, point.texts, trial, command, first, more[0] if more else None)
