"""Sweeps: as one call for notebooks, and as a run with its files, its table and full backtests of some points."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import StringIO
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

import msgspec

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.verdict import words
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.summary_text import bounds_text, tried
from mm.base.day_notes import once_for_days
from mm.base.knobs import knobs
from mm.base.knobs import plain as number_of
from mm.base.numbers import number, probability, signed
from mm.cli.settings_file import LEFT_OUT
from mm.cli.task_knobs import GROUPS, Sweep, Workers
from mm.clock import US_PER_S
from mm.errors import Incomplete, UsageError
from mm.play.given import groups_of
from mm.play.here import name_of, warn_of_one_process, with_fit, with_names
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol
from mm.play.market import Markets
from mm.play.setup import AccountSetup, AnySetup, Setup
from mm.report.contents import SERIES, SWEEP
from mm.report.sweep import points_table
from mm.runs.in_progress import Run
from mm.sweep.account_setup import account_setup, on_known_days
from mm.sweep.engines import module_path_env
from mm.sweep.findings import (
    POINTS,
    TABLE,
    PlayedPoint,
    PnlPanel,
    Row,
    SweepFindings,
    find,
    regret_text,
)
from mm.sweep.grid import Axis, axes_for, points_of
from mm.sweep.work import Engine, PointJobs, any_work_of, engine
from mm.trials.on_record import Recording
from mm.trials.openings import write_openings
from mm.trials.own_content import own_content

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule
    from mm.play.strategy_types import StrategyOrName

_GROUPS: tuple[type, ...] = (
    *(Day, Market, Execution, Account, Margin, Models, Risk, OtherMarkets, Sweep, Workers),
    *(OneAccount, PerSymbol, AccountTerms),
)
Done = tuple[Sequence[Axis], Sequence[PlayedPoint], PointJobs]
SHOWN = 20  # rows on the terminal
NAMED = 5  # failed points named in the error message
HEAD = (
    *(
        "trials",
        "n_trials",
        "independent_trials",
        "points",
        "failed",
        "rank_by",
        "expected_best_sharpe",
        "pbo",
        "deflated_sharpe",
    ),
    *("assumptions", "walkforward", "worst_case", "best"),
)


def sweep(  # noqa: PLR0913 - arguments that no knob can express
    symbol: str,
    day: str,
    grid: Mapping[str, Sequence[Any]],
    quotes: "StrategyOrName | None" = None,
    fills: object = None,
    *,
    fit: "PoissonFit | Schedule | str | os.PathLike[str] | None" = None,
    step: Callable[[int], None] | None = None,
    **settings: Any,
) -> SweepFindings:
    """Run every point of a grid and return the findings, without a run folder.

    Points already run, here or by ``mm sweep``, are reused.

    Args:
        symbol: Symbol of the recorded days; with ``one_account=True`` several with commas, which play on one account.
        day: One day, a list or a range, as on the command line.
        grid: The values of each axis: a knob's variable or a model's parameter, of one symbol of an account
            ``BTCUSDT.QUOTE_QTY``; of ``QUOTE_MODEL`` and ``FILL_MODEL`` also classes and objects.
        quotes: Quote model as for `mm.backtest`; each point plays a new one, or a copy of an object as it is now. A
            class without a file and an object are played in this process, and not kept, with a warning.
        fills: Fill model in the same forms.
        fit: A fit or schedule, or its file; one in memory is kept in ``OUT_ROOT/fits``, from where workers read it.
        step: Called with the number of backtests finished since the last call, for a progress bar.
        settings: Other knobs of ``mm sweep`` by field (``data_root``, ``maker_fee_rate``, ``jobs``).

    Raises:
        TypeError: If a knob is unknown.
        UsageError: If a knob or a point is invalid.
        DataError: If a day is missing or broken.
    """
    for name in ("sweep_walkforward", "search"):
        if name in settings:
            raise UsageError(f"{name} makes run folders; use mm sweep for it, or leave it out")
    named = {"symbol": symbol, "day": day, "grid": ";".join(map(_axis, grid.items()))}
    made = groups_of(_GROUPS, {**named, **with_names(quotes, fills, settings)}, "mm.sweep")
    days, market, execution, account, margin, models, risk, others, sweep_knobs, workers, *of_account = made
    models = with_fit(fit, models, days.out_root)
    alone = Setup.of(days, market, execution, account, margin, models, risk, others)
    together = account_setup(alone, *of_account)
    setup = alone if together is None else on_known_days(together)[0]
    axes = axes_for(sweep_knobs.grid, setup)
    points = points_of(axes, setup, sweep_knobs.grid_unfit)
    here = warn_of_one_process(one.models for point in points for one in setups_of(point.setup))
    markets = opened_markets(setup)
    for opened in markets.values() if isinstance(markets, Mapping) else [markets]:
        write_openings(days.out_root, opened.tapes, "sweep")
    bounded = sweep_knobs.rank_by == "bound"
    work = any_work_of(None, points, markets, workers, days.tapes, Recording(days.out_root, "sweep"), bounded=bounded)
    plays = engine(workers, here=here)
    played = work.run(plays, step or (lambda _known: None), reuse=workers.reuse_points)
    return _found((axes, played, work), sweep_knobs.rank_by, plays, reuse=workers.reuse_points)


def setups_of(setup: AnySetup) -> Iterable[Setup]:
    return setup.setups.values() if isinstance(setup, AccountSetup) else [setup]


def opened_markets(setup: AnySetup) -> Markets | dict[str, Markets]:
    if isinstance(setup, AccountSetup):
        return {symbol: Markets.open(one.day, one.market, one.others) for symbol, one in setup.setups.items()}
    return Markets.open(setup.day, setup.market, setup.others)


def _axis(axis: tuple[str, Sequence[Any]]) -> str:
    name, values = axis
    if name.rpartition(".")[2] in {"QUOTE_MODEL", "FILL_MODEL"}:
        values = [value if isinstance(value, str) else name_of(value) for value in values]
    plain = (str(value) if isinstance(value, Path) else value for value in values)
    texts = (
        f'"{value}"' if isinstance(given, str) else json.dumps(number_of(value))
        for given, value in zip(values, plain, strict=True)
    )
    return f"{name}={','.join(texts)}"


def write_files(folder: Path, findings: SweepFindings, head: dict[str, Any]) -> dict[str, int | None]:
    """Write all files except the page; return each one's rows, None if it is no table."""
    text = json.dumps({**head, **findings.content}, allow_nan=False, ensure_ascii=False)
    indented = msgspec.json.format(text, indent=1)  # json is slow with indents
    (folder / SWEEP).write_text(indented + "\n", encoding="utf-8")
    (folder / TABLE).write_text(as_csv(findings.rows), encoding="utf-8")
    (folder / POINTS).write_text("".join(map(_line, findings.points)), encoding="utf-8")
    rows: dict[str, int | None] = {SWEEP: None, TABLE: len(findings.rows), POINTS: None}
    if findings.panel is not None:
        (folder / SERIES).write_text(_series(findings.panel, findings.columns), encoding="utf-8")
        rows[SERIES] = len(findings.panel.pnl)
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    text = StringIO()
    if rows:
        table = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return text.getvalue()


def _line(point: Any) -> str:
    outcome = {name: value for name, value in point.outcome.items() if name in ("summary", "error", "traceback")}
    more = (
        {} if point.forwarded is None else {"walkforward": {k: v for k, v in point.forwarded.items() if k != "series"}}
    )
    content = {"point": point.number, **point.texts, "digest": point.trial, **outcome, **more}
    return json.dumps(content, allow_nan=False) + "\n"


def _series(panel: PnlPanel, columns: Sequence[int]) -> str:
    lines = [",".join(["start_s", *(f"point_{number}" for number in columns)])]
    for start_us, values in zip(panel.start_us.tolist(), panel.pnl.tolist(), strict=True):
        numbers = json.dumps(values, allow_nan=False, separators=(",", ":"))[1:-1]
        lines.append(f"{start_us / US_PER_S:.6f},{numbers}")
    return "\n".join(lines) + "\n"


def table(findings: SweepFindings) -> list[str]:
    cells = points_table(findings.content, SHOWN, "deflated")
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    hidden = len(findings.rows) - SHOWN
    return [*lines, f"… {hidden} more in {TABLE}"] if hidden > 0 else lines


def footer_lines(findings: SweepFindings) -> list[str]:
    content, lines = findings.content, []
    best = content["best"]
    if content["block_s"] is not None:
        block = content["block_s"] // 60
        lines.append(
            f"PnL is of the quoting; lower bound: of the 95 % interval of its mean per {block} min; a design ranks by "
            f"its worst fill assumption; tied: not told apart from the first, with all pairs at 95 % at once"
        )
    if best is not None:
        lines.append(f"the chosen one: {tried(content['trials'], best['pnl_lower95_chosen'])}")
        lines.append(f"its sum: {words(best['verdict'], best['n_days'])}")
        lines += [f"its bounds: {said}"] if (said := bounds_text(Summary.read(best))) else []
    lines += [assumption_line(row, content["axes"]) for row in content["assumptions"]]
    if content.get("search") is not None:
        lines += search_lines(content["search"])
    if (ahead := content["walkforward"]) is not None:
        lines.append(
            f"walk-forward choice, in blocks of {ahead['block']}: PnL {signed(ahead['pnl'])}; best in "
            f"hindsight {signed(ahead['pnl_of_the_best_in_hindsight'])}, "
            f"median point {signed(ahead['pnl_of_the_median'])}"
        )
    lines += [said] if (said := regret_text(content)) else []
    if (worst := content["worst_case"]) is not None and worst["point"] != best["point"]:
        rank_by = content["rank_by"]
        chosen = " ".join(f"{name}={value}" for name, value in worst.items() if name not in ("point", rank_by))
        lines.append(f"best worst case: {chosen}, {rank_by} {number(worst[rank_by])} (point {worst['point']})")
    return [*lines, *(f"note: {line}" for line in once_for_days(content["warnings"]) if not line.startswith("null: "))]


def search_lines(searched: Row) -> list[str]:
    stopped = f", {searched['stopped']} given up after the first day" if searched["stopped"] else ""
    lines = [f"search: {searched['designs']} designs{stopped}"]
    if not searched["held_out"]:
        return [*lines, "no day was held out: the result of a search is in-sample; give three days or more"]
    span = " to ".join(dict.fromkeys((searched["held_out_days"][0], searched["held_out_days"][-1])))
    for row in searched["held_out"]:
        there, here = signed(row["held_out_pnl_per_day"]), signed(row["pnl_per_day"])
        lines.append(f"held out, {span}: design {row['design']} earned {there} a day, {here} a day in the search")
    return lines


def assumption_line(row: Row, axes: Sequence[Row]) -> str:
    others = [f"{axis['name']}={row[axis['name']]}" for axis in axes if axis["name"] in row and row[axis["name"]]]
    name = " ".join(others) or f"FILL_MODEL={row['FILL_MODEL']}"
    independent = "" if row["independent_trials"] is None else f" ({number(row['independent_trials'], 2)} independent)"
    return (
        f"{name}: {row['trials']} trials{independent}, deflated Sharpe ratio of the best "
        f"{probability(row['deflated_sharpe'])}, probability of backtest overfitting {probability(row['pbo'])}"
    )


def _found(done: Done, rank_by: str, plays: Engine, *, reuse: bool, stopped: int = 0) -> SweepFindings:
    """Return the findings, for which the chosen point was also played at both bounds of its queue."""
    axes, played, work = done
    days_us, record = [day.start_us for day in work.days], work.recording.on_record(again=True)
    findings = find(played, axes, rank_by, days_us, stopped, record)
    if (best := findings.content["best"]) is None or not best["knows_next_move"]:
        return findings
    bounded = work.with_bounds(played, best["point"], plays, reuse=reuse)
    return findings if bounded == played else find(bounded, axes, rank_by, days_us, stopped, record)


def write(run: Run, done: Done, rank_by: str, workers: Workers, searched: Row | None = None) -> SweepFindings:
    """Write the results of *done* (axes, played points, their work); print the table."""
    work, stopped = done[2], searched["stopped"] if searched else 0
    with run.timing("play"):
        findings = _found(done, rank_by, engine(workers), reuse=workers.reuse_points, stopped=stopped)
    findings.content["search"] = searched
    head = {"symbol": work.days[0].symbol, "days": [day.day for day in work.days]}
    with run.timing("write"):
        for name, rows in write_files(run.partial, findings, head).items():
            own = own_content(findings.rows) if name == TABLE else None
            run.output(name, rows, own_sha256=None if own is None else sha256(as_csv(own).encode()).hexdigest())
    run.artefact = SWEEP
    run.timings.update(played=work.played, reused=work.reused)
    run.summary = {name: findings.content[name] for name in HEAD}
    _print(run, findings, work)
    return findings


def _print(run: Run, findings: SweepFindings, work: PointJobs) -> None:
    run.print(f"{len(findings.points)} points, {work.played} played, {work.reused} reused")
    for line in (*table(findings), *footer_lines(findings)):
        run.print(line)
    if (best := findings.content["best"]) is not None:
        run.print(join(work.command(best["point"])))


def keep(run: Run, work: PointJobs, findings: SweepFindings, which: str, jobs: int | None) -> None:
    """Play the points of KEEP_RUNS again, each with its own run folder."""
    ranked = [row["point"] for row in findings.rows if row["rank"] is not None]
    wanted = {"none": [], "best": ranked[:1], "all": ranked}[which]
    variables = {knob.variable for group in GROUPS for knob in knobs(group)}
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment |= LEFT_OUT | module_path_env()

    def play(number: int) -> None:
        own = ["--run-id", f"{run.id}_p{number}", "--log-level", "ERROR"]
        words = [sys.executable, "-m", "mm", *work.command(number)[1:], *own]
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            run.log.error("run_not_kept", point=number, command=join(words), error=done.stderr.strip())
        else:
            run.log.info("run_kept", point=number, path=done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        list(pool.map(play, wanted))


def raise_failures(played: Sequence[PlayedPoint]) -> None:
    failed = [point for point in played if point.error is not None]
    if not failed:
        return
    first = next(done for done in (failed[0].outcome, failed[0].forwarded) if done is not None and "error" in done)
    errors = "; ".join(f"point {point.number} ({_named(point)}): {point.error}" for point in failed[:NAMED])
    more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    raise Incomplete(
        f"{len(failed)} of {len(played)} points failed, the others are written: {errors}{more}", first["exit_code"]
    )


def _named(point: PlayedPoint) -> str:
    return " ".join(f"{name}={text}" for name, text in point.texts.items() if text)
