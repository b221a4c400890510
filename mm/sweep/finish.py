"""What becomes of the played points: the run's files, the table, whole backtests of some, and what failed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from shlex import join
from typing import TYPE_CHECKING

from mm.config import GROUPS
from mm.errors import Incomplete
from mm.knobs import knobs
from mm.runs import Run
from mm.sweep.axes import Axis
from mm.sweep.engines import seeing_modules
from mm.sweep.findings import Findings, Luck, Played, find
from mm.sweep.outputs import SWEEP, summary_of, table, words
from mm.sweep.outputs import write as write_files
from mm.sweep.page import page
from mm.sweep.work import Work
from mm.sweep_knobs import Sweep

if TYPE_CHECKING:
    from mm.tape.tape import Tape

NAMED = 5  # failed points that an error line names
HEAD = ("trials", "points", "failed", "rank_by", "expected_best_sharpe", "pbo", "walkforward", "worst_case", "best")


def write(
    run: Run, done: tuple[Sequence[Axis], Sequence[Played], Work], rank_by: str, tapes: "Sequence[Tape]"
) -> Findings:
    """Write what *done*, the axes, the played points and the work behind them, comes to; print the table."""
    axes, played, work = done
    found = find(played, axes, rank_by, [tape.start_us for tape in tapes])
    record = work.on_record()
    days = [day for tape in tapes for day in tape.days]
    with run.timing("write"):
        for name, rows in write_files(run.partial, found, {"symbol": tapes[0].symbol, "days": days}).items():
            run.output(name, rows)
        best = found.content["best"]
        # Not in a file: another sweep of these days changes it, and this one's files must stay what they are.
        told = {
            "trials": record.trials,
            "expected_best_sharpe": record.best,
            "best_deflated_sharpe": None if best is None else record.deflated(summary_of(found, best)),
        }
        run.write_page(page(run.partial, run.about, told))
    run.artefact = SWEEP
    run.timings.update(played=work.played, reused=work.reused)
    run.summary = {**{name: found.content[name] for name in HEAD}, "on_record": told}
    _say(run, found, record, work)
    return found


def _say(run: Run, found: Findings, record: Luck, work: Work) -> None:
    run.say(f"{len(found.points)} points, {work.played} played, {work.reused} known before")
    for line in (*table(found), *words(found, record)):
        run.say(line)
    if (best := found.content["best"]) is not None:
        run.say(join(work.command(best["point"])))


def keep(run: Run, work: Work, found: Findings, sweep: Sweep) -> None:
    """Play some points again as ``mm backtest`` does, each with a run folder of its own, as KEEP_RUNS has it."""
    ranked = [row["point"] for row in found.rows if row["rank"] is not None]
    wanted = {"none": [], "best": ranked[:1], "all": ranked}[sweep.keep_runs]
    variables = {one.variable for group in GROUPS for one in knobs(group)}
    environment = {name: value for name, value in os.environ.items() if name not in variables} | seeing_modules()

    def play(number: int) -> None:
        own = ["--run-id", f"{run.id}_p{number}", "--log-level", "ERROR"]
        words = [sys.executable, "-m", "mm", *work.command(number)[1:], *own]
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            run.log.error("run_not_kept", point=number, command=join(words), told=done.stderr.strip())
        else:
            run.log.info("run_kept", point=number, path=done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(sweep.jobs or os.cpu_count()) as pool:
        list(pool.map(play, wanted))


def complain(played: Sequence[Played]) -> None:
    """Raise what tells of the points that failed, where some did.

    Raises:
        Incomplete: With the exit code of the first one.
    """
    failed = [one for one in played if one.error is not None]
    if not failed:
        return
    first = next(one for one in (failed[0].outcome, failed[0].forwarded) if one is not None and "error" in one)
    told = "; ".join(f"point {one.number} ({_named(one)}): {one.error}" for one in failed[:NAMED])
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    raise Incomplete(
        f"{len(failed)} of {len(played)} points failed, the others are written: {told}{more}", first["exit_code"]
    )


def _named(one: Played) -> str:
    return " ".join(f"{name}={text}" for name, text in one.texts.items() if text)
