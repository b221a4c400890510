"""One shadow from start to end: a paper exchange on the market that is being recorded, and the comparison."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mm.backtest.summary_text import text_of
from mm.errors import BrokenFile, Incomplete, TryLater
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.decisions import decisions_name, decisions_of, write_decisions
from mm.live.run.kept_models import kept_models
from mm.live.run.live_play import PaperPlay, ShadowFollower
from mm.live.run.live_run import ROUNDED, LiveRun
from mm.live.run.live_terms import DAY_REPLACED, REGRIDDED, UnlistedSymbol
from mm.live.run.observer import ShadowObserver
from mm.live.run.other_markets import OtherFollower, OtherTaker, PairedPlay, feeds_of, recordings
from mm.live.run.replay_check import RECONCILE, compare_with_replay
from mm.live.state.stores import LiveStore
from mm.market_data.recording import Parts, Recording
from mm.play.setup import PlayKnobs
from mm.report.backtest import page
from mm.report.run_columns import columns_of
from mm.runs.manifest import MANIFEST, read_manifest
from mm.runs.trusted import COPIES

if TYPE_CHECKING:
    from mm.play.knobs import Day
from mm.runs.in_progress import Run

REFRESH_S = 0.05


class ShadowRun(LiveRun):
    def __init__(
        self,
        run: "Run",
        knobs: PlayKnobs,
        store: LiveStore,
        parts: Parts,
        day: "Day",
        clock: Callable[[], int],
    ) -> None:
        super().__init__(run, knobs, parts, day, clock)
        self._store, self._killed_by, self._stopped = store, "", ""

    @property
    def shown(self) -> list[TradingMetrics]:
        return [self.metrics, *self.metrics.legs]

    def check(self) -> None:
        super().check()
        _take_back_killed(self.run)

    def has_traded_with(self, *knobs: str) -> bool:
        now = self.run.about.knobs
        for path in sorted(self.run.folder.parent.glob(f"*/{MANIFEST}"), reverse=True):
            with suppress(BrokenFile):
                before = [read_manifest(path.parent)["knobs"].get(name, {}) for name in knobs]
                if all(one.get("source") != ROUNDED for one in before):  # else an older one has what was given
                    return all(one.get("value") == now[name]["value"] for name, one in zip(knobs, before, strict=True))
        return False

    async def learn(self) -> None:
        """Ask for the terms, and prepare; nothing is recorded yet. Raises TryLater or UsageError."""
        try:
            with self.under_changed_rules():
                await super().learn()
                self._play = PaperPlay(self.terms, self.strategy, self.run, feeds_of(self.others, self.seen_parts))
        except UnlistedSymbol as error:
            if not self.has_traded_with():
                raise
            raise TryLater(
                f"the exchange does not list {self.symbol} any more, which was played before; stop its unit"
            ) from error
        for name, path in _named(self.strategy).items():  # for the replay, as a fit may be overwritten
            shutil.copyfile(path, self.run.path(name))
        play, log = self._play, self.run.log
        writer = self._store.writer(self.symbol, log.warning)
        self._observer = ShadowObserver(play.exchange, play.grid, log, writer, self.clock)
        self._legs = {
            name: ShadowObserver(*leg, log, None, self.clock, f"{self.symbol}:{name}")
            for name, leg in play.legs().items()
        }
        self.metrics = self._observer.metrics
        self.metrics.legs = [observer.metrics for observer in self._legs.values()]

    async def play(self) -> None:
        takers = {name: OtherTaker() for name in self.others}
        paired = PairedPlay(self._play, takers, self.own_views) if takers else self._play
        follower = ShadowFollower(paired, self.clock, self._observer.market, self._kill_reason)
        following = {}
        for name in self.beside:
            feed = self._play.rules.others[name]
            watched = [self._legs[name].market] if name in self._legs else []
            following[name] = OtherFollower(takers[name], feed.grid, *watched)
        others = recordings(self.beside, following, self.run.log, self.clock)
        recording = self.recording = Recording(replace(self.parts, follower=follower), self.run.log, self.clock)
        if self._stopped:
            recording.stop(self._stopped)
        keeping = asyncio.create_task(self._keep(recording, follower))
        try:
            await self.record_market(recording, others)
        finally:
            keeping.cancel()
            for observer in self._legs.values():
                observer.refresh(self.clock())
            await self._observer.close()
        self.print_days(recording)
        end_us = paired.played_us if isinstance(paired, PairedPlay) else follower.end_us
        seen = {
            name: replace(
                one, rows_run_id=following.get(name, follower).rows_run_id, payments=tuple(takers[name].payments)
            )
            for name, one in self.others.items()
        }
        payments = tuple(follower.payments)
        known = replace(self.terms, end_us=end_us, killed=follower.killed, others=seen, payments=payments)
        known = replace(known, moved_to=follower.moved_to)
        self.terms, self._lags = replace(known, rows_run_id=follower.rows_run_id), follower.lags

    async def _keep(self, recording: Recording, follower: ShadowFollower) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            for observer in (self._observer, *self._legs.values()):
                observer.refresh(self.clock())
            if self.grid_changed():
                recording.stop(REGRIDDED)
            elif follower.moved_to is not None:
                recording.stop(DAY_REPLACED)

    def stop(self, reason: str) -> None:
        self._stopped = self._stopped or reason
        if self.recording:
            self.recording.stop(reason)

    def kill(self, reason: str) -> None:
        self._killed_by = self._killed_by or reason

    def _kill_reason(self) -> str | None:
        return self._killed_by or (self.switch_watch.why if self.switch_watch.triggered else None)

    def write(self) -> None:
        """And compare with the replay of the day; Incomplete if the grid changed, or the day has other files."""
        run, terms, play = self.run, self.terms, self._play
        changed = self.regridded
        if terms.moved_to is not None:
            where = f"are in {terms.moved_to}" if terms.moved_to else "are gone"
            changed = TryLater(f"the day has new files, its rows so far {where}; start it again")
        reason = self.recording.reason if self.recording else ""
        result = play.result({"reason": reason, "why": str(changed) if changed else None})
        decisions, name = decisions_of(result.journal), decisions_name(terms.symbol)
        lags_us = self._lags.lags_us(decisions).tolist()
        rows = write_decisions(run.output(name, digest=False), decisions, lags_us, play.grid)
        run.output(name, rows, digest=False)
        terms.write(run.partial)
        run.write_result(result)
        with run.timing("reconcile"):
            knobs = with_copies(self.strategy, run.partial)
            found, inputs = compare_with_replay(terms, knobs, self.day.data_root, run.partial)
        for one in inputs:
            run.input(*one)
        found.write(run.partial)
        run.output(RECONCILE, digest=False)
        run.write_page(page(result.summary, columns_of(result), run.about, [found.text()]))
        run.log.info("shadow_reconciled", same=found.same, decisions=found.decisions, equal=found.equal, **found.lag_us)
        run.print(text_of(result.summary))
        run.print(found.text())
        if changed:
            raise Incomplete(f"{self.symbol}: paper trading ended: {changed}", TryLater.exit_code)


def _take_back_killed(run: "Run") -> None:
    for folder in run.folder.parent.glob("*.partial"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use by another shadow
            os.close(descriptor)
            continue
        if folder.resolve() == run.partial:
            run.hold(descriptor)
            continue
        run.log.warning("shadow_was_killed", run=folder.name.removesuffix(".partial"), kept="its recorded day")
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _named(knobs: PlayKnobs) -> dict[str, Path]:
    named = {"fill_params_file": knobs.models.fill_params_file, "latency_file": knobs.execution.latency_file}
    return {COPIES[knob]: path for knob, path in named.items() if path is not None}


def with_copies(knobs: PlayKnobs, folder: Path) -> PlayKnobs:
    copies = {name: folder / name for name in _named(knobs)}
    models = replace(kept_models(knobs.models, folder), fill_params_file=copies.get(COPIES["fill_params_file"]))
    execution = replace(knobs.execution, latency_file=copies.get(COPIES["latency_file"]))
    return replace(knobs, models=models, execution=execution)
