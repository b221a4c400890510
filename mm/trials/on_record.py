"""How many designs were tried on a run's days, and how they did there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.numbers import noun
from mm.trials.ledger import DayLedger, Identity, Ledger, Spans, Trial, TrialLine
from mm.trials.moves import Moves, moves_on_record

MINUTE_US = 60_000_000
Day = tuple[str, str]  # symbol and day
_ROUNDING = 1e-12  # share of a sum of squares
ALONE: Mapping[str, Any] = {
    "known": 0,
    "on_these_days": 1,
    "independent": 1.0,
    "this_is_new": True,
    "held_out_openings": 0,
    "forgotten": 0,
    "off_record": 0,
}
"""The entry ``trials`` of a run that knows of no other."""


@dataclass(frozen=True)
class OnRecord:
    """The trials on record of the days of a run, its own among them.

    Attributes:
        known: Trials of any days below OUT_ROOT; 0 without a ledger.
        pnl: Per period of the run and design, quote asset, float32; NaN where not played, or lost.
        this_is_new: The run, or one of its points, is the first of its design.
        held_out_openings: Most openings of any day while held out.
        parts: Day and number of periods, for each day of each symbol.
        spans: Of the periods.
        runs: The run of each design.
        moves: By symbol, the largest moves of the other days on record.
        forgotten: Trials of these days that were ended by ``--forget``.
        off_record: Finished runs of these days that are older than their ledger.
    """

    known: int
    designs: tuple[str, ...]
    pnl: Floats
    this_is_new: bool
    held_out_openings: int = 0
    problems: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()
    spans: Spans = ()
    runs: tuple[str, ...] = ()
    moves: Mapping[str, Moves] = field(default_factory=dict)
    forgotten: int = 0
    off_record: int = 0

    @property
    def on_these_days(self) -> int:
        return len(self.designs)

    @cached_property
    def independent(self) -> float:
        return independent_trials(self.pnl)

    @cached_property
    def begins_us(self) -> Ints:
        """Begin of each period."""
        parts = [begin_us + MINUTE_US * np.arange(count, dtype=np.int64) for begin_us, count in self.spans]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def days_of_periods(self) -> list[Ints]:
        """The periods of each day, of all symbols."""
        days = np.repeat([day for day, _ in self.parts], [count for _, count in self.parts])
        return [np.flatnonzero(days == day) for day in dict.fromkeys(days.tolist())]

    def to_json(self) -> dict[str, Any]:
        return {
            "known": self.known,
            "on_these_days": self.on_these_days,
            "independent": self.independent,
            "this_is_new": self.this_is_new,
            "held_out_openings": self.held_out_openings,
            "forgotten": self.forgotten,
            "off_record": self.off_record,
        }


def independent_trials(pnl: Floats) -> float:
    """Return ρ + (1 − ρ)·trials: what correlated trials are worth.

    ρ is the columns' mean correlation, at least 0; columns that do not vary or overlap (NaN) count as uncorrelated.
    Bailey and López de Prado (2014), appendix 3.
    """
    trials = int(pnl.shape[1])
    if trials < 2 or not len(pnl):
        return float(trials)
    mean = pnl.mean(axis=0, dtype=np.float64)
    if np.isnan(mean).any():
        missing = np.isnan(pnl)
        mean = np.nansum(pnl, axis=0) / np.maximum((~missing).sum(axis=0), 1)
        pnl = np.where(missing, mean, pnl)
    # Sums of squares about the mean, without a copy of the table: a ledger holds thousands of columns.
    raw = np.einsum("ij,ij->j", pnl, pnl)
    squares = raw - len(pnl) * mean**2
    varied = squares > _ROUNDING * raw
    if not varied.any():
        return float(trials)
    scale = np.zeros(trials)
    scale[varied] = 1 / np.sqrt(squares[varied])
    # A product would wake the threads of BLAS, which takes forty times as long as the sums themselves.
    together = np.einsum("ij,j->i", pnl, scale.astype(pnl.dtype)) - float(mean @ scale)
    pairs = float((together**2).sum()) - int(varied.sum())  # the sum of correlations of different columns
    rho = float(min(max(pairs / (trials * (trials - 1)), 0.0), 1.0))
    return rho + (1 - rho) * trials


class Recording:
    """Puts the trials of a run on record, and tells what is on record of its days.

    *new*: one of the trials was not on record.
    """

    def __init__(self, out_root: Path, made_by: str, run: str = "") -> None:
        self.ledger, self.made_by, self.run = Ledger(out_root), made_by, run
        self.new = False
        self.problems: list[str] = []
        self._own: dict[tuple[Day, Identity], Trial] = {}
        self._read: dict[Day, DayLedger] = {}

    def add(self, trials: Iterable[Trial]) -> None:
        """Put the days of a design on record."""
        each = [trial.of_run(self.run) for trial in trials]
        same = [self._day(trial.place).same_as(trial.line) for trial in each]
        if len({None if line is None else line.identity[:2] for line in same}) > 1:
            same = [None] * len(each)
        for trial in map(Trial.as_one_with, each, same):
            read, line, key = self._day(trial.place), trial.line, (trial.place, trial.line.identity)
            if key in self._own:
                continue
            self._own[key] = trial
            self.new = self.new or (line.design, line.market) not in read.designs
            if line.identity not in read.known and (problem := self.ledger.add(trial)):
                self.problems.append(problem)

    def _day(self, place: Day) -> DayLedger:
        if place not in self._read:
            self._read[place] = self.ledger.read(*place)
        return self._read[place]

    def on_record(self, *, again: bool = False) -> OnRecord:
        """Read the days of the trials, as when each day's first was added or, *again*, now."""
        if again:
            self._read = {place: self.ledger.read(*place) for place in self._read}
        own, days = list(self._own.values()), {trial.place: trial for trial in self._own.values()}
        problems = [*self.problems, *(problem for read in self._read.values() for problem in read.problems)]
        designs = {design: at for at, design in enumerate(dict.fromkeys(trial.line.design for trial in own))}
        chosen, runs = [], {one.line.design: one.line.name for one in own}
        for place, trial in days.items():
            lines, others = _of_market(self._read[place].trials, trial.line.market)
            if others:
                problems.append(
                    f"{self.ledger.folder}: {others} {noun(others, 'trial')} of {' '.join(place)} played other "
                    f"files than this DATA_ROOT has and {'does' if others == 1 else 'do'} not count"
                )
            chosen.append((trial, _one_of_each(lines, {one.line.assumption for one in own if one.place == place})))
            for design, line in chosen[-1][1].items():
                designs.setdefault(design, len(designs))
                runs.setdefault(design, line.name)
        pnl: Any = np.empty((len(designs), sum(trial.line.count for trial in days.values())), np.float32)
        at = 0
        for trial, lines_of in chosen:
            part, at = pnl[:, at : at + trial.line.count], at + trial.line.count
            _fill(part, trial.line.spans, self._read[trial.place], lines_of, designs)
            for one in own:
                if one.place == trial.place and one.line.spans == trial.line.spans:
                    part[designs[one.line.design]] = one.pnl
        nothing = bool(self.problems) and not any(read.known for read in self._read.values())
        known = 0 if nothing else self.ledger.known()  # neither read nor written: this run knows of none
        return OnRecord(
            known,
            tuple(designs),
            pnl.T,
            self.new,
            problems=tuple(dict.fromkeys(problems)),
            parts=tuple((trial.day, trial.line.count) for trial in days.values()),
            spans=tuple(span for trial in days.values() for span in trial.line.spans),
            runs=tuple(runs[design] for design in designs),
            **_of_days(self.ledger, self._read),
        )


def on_days(out_root: Path, symbol: str, days: Sequence[str]) -> OnRecord:
    """Return what is on record, on the minutes of each day's last trial."""
    ledger = Ledger(out_root)
    known = {day: read for day in days if (read := ledger.read(symbol, day)).known}
    reads = list(known.values())
    chosen = [_one_of_each(_of_market(read.trials, read.trials[-1].market)[0], set()) for read in reads]
    designs = {design: at for at, design in enumerate(dict.fromkeys(design for lines in chosen for design in lines))}
    pnl: Any = np.full((len(designs), sum(read.trials[-1].count for read in reads)), np.nan, np.float32)
    at, parts, begins = 0, list[tuple[str, int]](), list[tuple[int, int]]()
    for day, read, lines in zip(known, reads, chosen, strict=True):
        spans, count = read.trials[-1].spans, read.trials[-1].count
        _fill(pnl[:, at : at + count], spans, read, lines, designs)
        at += count
        parts.append((day, count))
        begins += spans
    runs = {design: line.name for lines in chosen for design, line in lines.items()}
    return OnRecord(
        ledger.known(),
        tuple(designs),
        pnl.T,
        this_is_new=False,
        parts=tuple(parts),
        spans=tuple(begins),
        runs=tuple(runs[design] for design in designs),
        **_of_days(ledger, {(symbol, day): ledger.read(symbol, day) for day in days}),
    )


def _of_days(ledger: Ledger, reads: Mapping[Day, DayLedger]) -> dict[str, Any]:
    days = {day for _, day in reads}
    return {
        "held_out_openings": max((read.openings for read in reads.values()), default=0),
        "forgotten": sum(told.trials for read in reads.values() for told in read.forgettings),
        "off_record": sum(ledger.off_record(*place, read.since_us) for place, read in reads.items()),
        "moves": {
            symbol: moves_on_record(ledger.out_root, symbol, days)
            for symbol in dict.fromkeys(symbol for name, _ in reads for symbol in name.split("+"))
        },
    }


@dataclass
class Tried:
    out_root: Path
    _designs: dict[Day, frozenset[str]] = field(default_factory=dict)

    def on(self, symbol: str, days: Sequence[str]) -> int:
        return len(frozenset[str]().union(*(self._of((symbol, day)) for day in days)))

    def _of(self, place: Day) -> frozenset[str]:
        if place not in self._designs:
            trials = Ledger(self.out_root).read(*place).trials
            own = _of_market(trials, trials[-1].market)[0] if trials else []
            self._designs[place] = frozenset(trial.design for trial in own)
        return self._designs[place]


def _of_market(trials: Sequence[TrialLine], market: str) -> tuple[list[TrialLine], int]:
    own = [trial for trial in trials if trial.market == market]
    return own, len(trials) - len(own)


def _one_of_each(trials: Sequence[TrialLine], assumptions: set[str]) -> dict[str, TrialLine]:
    """Choose the trial under one of *assumptions*, else the last."""
    chosen: dict[str, TrialLine] = {}
    for trial in trials:
        known = chosen.get(trial.design)
        if known is None or known.assumption not in assumptions:
            chosen[trial.design] = trial
    return chosen


def _fill(
    rows: Floats, spans: Spans, read: DayLedger, trials: Mapping[str, TrialLine], designs: Mapping[str, int]
) -> None:
    by_spans: dict[Spans, list[TrialLine]] = {}
    for trial in trials.values():
        by_spans.setdefault(trial.spans, []).append(trial)
    whole = by_spans.get(spans, [])
    if len(whole) < len(rows):
        rows[:] = np.nan
    for own, lines in by_spans.items():
        places = np.array([designs[trial.design] for trial in lines])
        if own == spans:
            in_a_row = bool((np.diff(places) == 1).all())  # as they are but for the run's own designs
            rows[slice(places[0], places[0] + len(places)) if in_a_row else places] = read.table(lines)
            continue
        _, here, there = np.intersect1d(minutes(spans), minutes(own), return_indices=True)
        rows[places[:, None], here] = read.table(lines)[:, there]


def minutes(spans: Spans) -> Ints:
    parts = [begin_us // MINUTE_US + np.arange(count, dtype=np.int64) for begin_us, count in spans]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
