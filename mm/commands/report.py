"""``mm report``."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from mm.backtest.rules import Account, Execution
from mm.base.atomic_file import atomic_file
from mm.base.code_identity import hash_file
from mm.base.knobs import knobs
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command
from mm.cli.options import TRUST
from mm.cli.task_knobs import PageKnobs
from mm.commands.reproduce import command_of
from mm.errors import DataError, MMError, UsageError
from mm.play.calibration_knobs import Calibration, Fit
from mm.report.contents import FIT, PAGE, read_content
from mm.runs.manifest import MANIFEST
from mm.runs.plan import repeating
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.commands.redraw import Redraw
    from mm.report.frame import About
    from mm.runs.finished import RunFolder


@command(arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), TRUST])
def report(console: Console, drawn: PageKnobs, name: str, trust: tuple[Path, ...]) -> None:
    """Redraw the page of a run, given as its folder or its RUN_ID under OUT_ROOT.

    If its days are unchanged, a backtest or a walk-forward is replayed, also under optimistic and pessimistic
    assumptions (SENSITIVITY=0 skips these), and a calibration is measured again. What cannot be replayed is noted, and
    the rest is drawn from the files of the run. A user's model is executed only if its file is named by --trust,
    because a run may come from anyone. Exit code 3 if RUN is not a run, or a file cannot be read.

    Example: mm report 20260105T080000Z
    """
    from mm.commands.redraw import Redraw
    from mm.runs.find import open_run

    redraw = Redraw(open_run(name, drawn.out_root), drawn, console, [], trust)
    path = drawn.report_file or redraw.run.folder / PAGE
    html = _page(redraw, path)
    _write(path, html)
    if path.resolve() == (redraw.run.folder / PAGE).resolve():
        _note_page(redraw.run)
    for note in redraw.notes:
        console.print(f"note: {note}")
    manifest = redraw.run.manifest
    console.set_json({"kind": manifest["kind"], "run_id": manifest["run_id"], "notes": redraw.notes, "path": str(path)})
    console.print(str(path))


def _page(redraw: "Redraw", path: Path) -> str:
    from mm.report.frame import About, plotly_address

    pages = {
        "backtest": _backtest,
        "account": _account,
        "account_walkforward": _account,
        "calibration": _calibration,
        "schedule": _windows,
        "walkforward": _windows,
        "sweep": _sweep,
        "evaluation": _evaluation,
    }
    kind = redraw.run.manifest["kind"]
    if kind not in pages:
        own = redraw.run.folder / PAGE
        raise DataError(
            f"{redraw.run.folder} is a run of the kind {kind!r}; mm report draws pages of {', '.join(pages)}"
            + (f"; open the page in its folder, {own}" if own.is_file() else "")
        )
    manifest, way = redraw.run.manifest, _way(path, redraw.run.folder)
    plotly = plotly_address(redraw.drawn.plotlyjs, redraw.drawn.out_root, path.parent)
    names = {"run_id": manifest["run_id"], "version": manifest["version"]}
    excluded = manifest.get("excluded", ())
    about = About(_words(redraw.run), manifest["knobs"], way, excluded=excluded, plotly=plotly, **names)
    return pages[kind](redraw, about)


def _way(path: Path, folder: Path) -> str:
    if path.parent.resolve() == folder.resolve():
        return ""
    return quote(Path(os.path.relpath(folder, path.parent)).as_posix()) + "/"


def _words(run: "RunFolder") -> list[str]:
    name, options = command_of(run)
    flags = {option.name: option.opts[0] for option in options}
    knobs = run.manifest["knobs"].items()
    return repeating(
        f"mm {name}",
        run.manifest["kind"],
        {key: (flags.get(key), entry["value"], entry["source"]) for key, entry in knobs},
    )


def _backtest(redraw: "Redraw", about: "About") -> str:
    from mm.commands.redraw import market, played
    from mm.report.as_of_now import as_of_now
    from mm.report.backtest import page as backtest_page
    from mm.report.run_columns import columns_of

    run, now = redraw.run, as_of_now(redraw.run.summary, redraw.drawn.out_root)
    again = played(redraw)
    if again is not None:
        return backtest_page({**again.summary, **now, **_sensitivity(again)}, columns_of(again), about)
    seen = market(redraw)
    with run.readable():
        return backtest_page(now, run.columns if seen is None else run.columns.beside(seen), about)


def _account(redraw: "Redraw", about: "About") -> str:
    from mm.report.account import account_page, curves_in

    run = redraw.run
    with run.readable():
        targets = {symbol: float(one["target_inventory"]) for symbol, one in run.summary["symbols"].items()}
        by = run.summary.get("numeraire", {}).get("by", {})
        pairs = {symbol: (pair, pair in run.summary["numeraire"]["inverse"]) for symbol, pair in by.items()}
        return account_page(run.summary, *curves_in(run.table("state"), targets, pairs), about)


def _windows(redraw: "Redraw", about: "About") -> str:
    from mm.commands.redraw import played
    from mm.report.as_of_now import as_of_now
    from mm.report.run_columns import columns_of
    from mm.report.walkforward import page as walkforward_page

    again = played(redraw) if redraw.run.has_traded else None  # without a usable segment nothing was played
    now = as_of_now(redraw.run.summary, redraw.drawn.out_root) if redraw.run.has_traded else {}
    more = (now, None) if again is None else ({**now, **_sensitivity(again)}, columns_of(again))
    with redraw.run.readable():
        warnings = redraw.run.manifest["summary"].get("warnings", ())
        return walkforward_page(redraw.run.folder, about, *more, warnings=warnings)


def _sweep(redraw: "Redraw", about: "About") -> str:
    from mm.report.sweep import page as sweep_page

    with redraw.run.readable():
        return sweep_page(redraw.run.folder, about, _tried_since(redraw))


def _tried_since(redraw: "Redraw") -> list[str]:
    from mm.trials.on_record import Tried

    run, tried = redraw.run, Tried(redraw.drawn.out_root)
    trials, symbols = run.manifest["summary"].get("trials"), run.manifest["summary"].get("symbols") or [run.symbol]
    then = trials["on_these_days"] if isinstance(trials, dict) else 0  # of a version that kept no ledger
    now = max(tried.on(str(symbol), run.days()) for symbol in symbols)
    if now <= then:
        return []
    return [f"trials: {now} designs are on record of these days by now, and {then} when this was played; play it again"]


def _evaluation(redraw: "Redraw", about: "About") -> str:
    from mm.report.evaluation import page as evaluation_page

    with redraw.run.readable():
        return evaluation_page(redraw.run.folder, about, _tried_since(redraw))


def _calibration(redraw: "Redraw", about: "About") -> str:
    from mm.calibration.calibrate import measure
    from mm.calibration.calibrator import Measured
    from mm.calibration.moves import adverse_selection
    from mm.play.calibration import calibration_config
    from mm.play.engine_rules import rules_of
    from mm.play.setup import GROUPS
    from mm.report.calibration import further_cards
    from mm.report.calibration import page as calibration_page
    from mm.runs.trusted import playable

    fit = redraw.run.fit
    content = read_content(redraw.run.folder / FIT)
    try:
        groups = (*GROUPS, Calibration, Fit)
        names = {knob.name for kind in groups for knob in knobs(kind)}
        known = playable(redraw.run, redraw.places, redraw.trusted, names)
        with known.own_modules():
            tapes, account = redraw.days(), known.group(Account)
            config = calibration_config(known.group(Calibration), known.group(Fit), account.seed, tapes[0])
            again = measure(tapes, config, rules_of(tapes[0], known.group(Execution), account))
            cards = further_cards(content, adverse_selection(again.calibrator))
            return calibration_page(again.fit, again.measured, again.calibrator.steadiness(), about, cards)
    except MMError as error:
        redraw.notes.append(f"drawn without the fits of parts of the day and the mid moves after hits: {error}")
    return calibration_page(fit, Measured(redraw.run.points, redraw.run.points), [], about, further_cards(content, []))


def _sensitivity(again: "Result") -> dict[str, Any]:
    return {"sensitivity": again.summary["sensitivity"]}


def _write(path: Path, html: str) -> None:
    try:
        with atomic_file(path) as unfinished:
            unfinished.write_text(html, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "{} cannot be written ({}); set {report_file} to a file that can", path, error.strerror
        ) from error


def _note_page(run: "RunFolder") -> None:
    others = [output for output in run.manifest["outputs"] if output["path"] != PAGE]
    page = {"path": PAGE, "rows": None, "sha256": hash_file(run.folder / PAGE)}
    outputs = sorted([*others, page], key=lambda output: str(output["path"]))
    manifest = {**run.manifest, "outputs": outputs}
    _write(run.folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False) + "\n")
