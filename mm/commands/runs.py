"""``mm runs list``, ``trials``, ``show``, ``log``, ``diff``, ``compare``, ``tag`` and ``export``."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from mm.backtest.metrics.numbers import Summary
from mm.base.numbers import noun, number, signed
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command
from mm.errors import DataError, TryLater, UsageError
from mm.play.knobs import Pages, Results
from mm.report.contents import PAGE
from mm.runs.manifest import MANIFEST, flat, headlines, read_manifest, shown
from mm.runs.plan import new_page
from mm.terminal.console import Console

if TYPE_CHECKING:
    import polars as pl

    from mm.report.tear_sheet import TearSheet
    from mm.runs.finished import RunFolder
    from mm.runs.tags import Tags
    from mm.trials.ledger import Ledger
    from mm.trials.on_record import Tried


PDF = ".pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PRINT_S = 120
SHEET = (1240, 1754)  # of a printed page, in CSS pixels: that of style.css

_FILTERS = (
    click.Option(["--kind"], metavar="KIND", help="Only runs of this kind (backtest, calibration, …)."),
    click.Option(["--symbol"], metavar="SYMBOL", help="Only runs of this symbol, in any case."),
    click.Option(["--day"], metavar="YYYYMMDD", help="Only runs that include this day."),
    click.Option(["--tag"], metavar="TAG", help="Only runs with this tag."),
)


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


_LOG = (
    click.Argument(["name"], metavar="RUN", shell_complete=run_ids),
    click.Option(["--level"], type=click.Choice(LEVELS, case_sensitive=False), help="Minimum level."),
    click.Option(["--search"], metavar="TEXT", help="Only lines that contain this text, in any case."),
)


_NAMES = [
    click.Argument(["first"], metavar="A", shell_complete=run_ids),
    click.Argument(["second"], metavar="B", shell_complete=run_ids),
]


_RUNS = click.Argument(["names"], nargs=-1, required=True, metavar="RUN RUN…", shell_complete=run_ids)


_OUT = click.Option(
    ["--out"], metavar="FILE", help="File of the page, instead of one in OUT_ROOT; FILE.pdf for a mail (by chromium)."
)


_TAG = (
    click.Argument(["name"], metavar="RUN", shell_complete=run_ids),
    click.Option(["--add"], metavar="TAG", multiple=True, help="A tag to add; may be repeated."),
    click.Option(["--remove"], metavar="TAG", multiple=True, help="A tag to remove; may be repeated."),
    click.Option(["--note"], metavar="TEXT", help="A note, which replaces the last one; '' removes it."),
)


_EXPORT = (
    *_FILTERS,
    click.Option(["--out"], metavar="FILE", help="File of a table: .parquet or .csv."),
    click.Option(
        ["--mlflow"],
        metavar="[URI]",
        is_flag=False,
        flag_value="",
        help="Write each run into this MLflow tracking store, MLFLOW_TRACKING_URI if none is given.",
    ),
    click.Option(["--experiment"], default="mm", show_default=True, help="MLflow experiment of the runs."),
)


_TRIALS = (
    click.Option(["--symbol"], metavar="SYMBOL", help="Only trials of this symbol, in any case."),
    click.Option(["--day"], metavar="YYYYMMDD", help="Only trials whose days include this one."),
    click.Option(["--forget"], is_flag=True, help="Let the trials of --symbol and --day no longer count."),
    click.Option(["--why"], metavar="TEXT", help="Why they are forgotten; without it you are asked."),
)


_BOUND = ("run_id", "symbol")  # on every line of a log
COLUMNS = ("kind", "symbol", "day", "run_id", "status", "started_at", "found", "path")


@command(arguments=_FILTERS)
def runs_list(
    console: Console, results: Results, kind: str | None, symbol: str | None, day: str | None, tag: str | None
) -> None:
    """List the runs under OUT_ROOT, oldest first, with their main numbers.

    trials is the number of designs that were tried on the days of a run until today.

    The filters are not knobs: an exported SYMBOL does not filter this list. Folders that are not runs
    are listed below them.
    """
    from mm.runs.find import find_runs
    from mm.runs.tags import Tags
    from mm.trials.on_record import Tried

    every_run, invalid = find_runs(results.out_root, _read_for_list)
    tags = Tags(results.out_root)
    runs = _wanted(every_run, tags, (kind, symbol, day, tag))
    rows, tried = [], Tried(results.out_root)
    for run in runs:
        tagged = tags.tagged(run)
        more = {
            "found": run.manifest["found"],
            "trials": _trials_now(run, tried),
            "tags": tagged.tags,
            "note": tagged.note,
        }
        rows.append({**_row(run), "digest": run.manifest["digest"], **more})
    console.set_json({"runs": rows, "others": [{"path": str(other.folder), "why": other.why} for other in invalid]})
    if runs:
        texts = [
            " ".join(
                [*(f"{key}={shown(value)}" for key, value in numbers.items()), *(f"#{tag}" for tag in row["tags"])]
            )
            for row in rows
            for numbers in [row["found"] | ({} if row["trials"] is None else {"trials": row["trials"]})]
        ]
        _print_table(console, [{**_row(run), "found": text or "-"} for run, text in zip(runs, texts, strict=True)])
    else:
        console.print(f"no runs below {results.out_root}" + (" pass the filters" if every_run else ""))
    for other in invalid:
        console.print(f"{other.folder}: {other.why}")


def _read_for_list(folder: Path) -> dict[str, Any]:
    """Read a manifest, and keep what a list shows of it: there may be thousands."""
    manifest = read_manifest(folder)
    knobs, trials = manifest["knobs"], manifest["summary"].get("trials")
    kept = {name: manifest[name] for name in (*COLUMNS, "digest") if name in manifest}
    day = {"day": knobs["day"]} if "day" in knobs else {}
    return {**kept, "knobs": day, "summary": {"trials": trials}, "found": headlines(manifest)}


def _trials_now(run: "RunFolder", tried: "Tried") -> int | None:
    trials = run.manifest["summary"].get("trials")
    if not isinstance(trials, Mapping):
        return None
    return max(int(trials["on_these_days"]), tried.on(str(run.manifest["symbol"]), run.days()))


@command(arguments=_TRIALS)
def runs_trials(
    console: Console, results: Results, symbol: str | None, day: str | None, forget: bool, why: str | None
) -> None:
    """List the designs that were tried on recorded days, by days and fill model; every verdict allows for them.

    A deleted run leaves its trials here. --forget ends the trials of a day, for a reason that stays on record.

    Example: mm runs trials --symbol BTCUSDT
    """
    from mm.trials.ledger import Ledger
    from mm.trials.listing import forgotten, problems, trials

    if forget:
        if symbol is None or day is None:
            raise UsageError("--forget needs --symbol and --day: the trials of one day are forgotten at a time")
        ended = _forget(Ledger(results.out_root), symbol.upper(), day, why)
        console.print(f"{ended:,} {noun(ended, 'trial')} of {symbol.upper()} {day} forgotten")
    rows = trials(results.out_root, symbol, day)
    told = list(forgotten(results.out_root, symbol and symbol.upper(), day))
    console.set_json({"trials": rows, "forgotten": told, "warnings": problems(results.out_root)})
    for row in rows:
        console.print("  ".join(_trials_line(row)))
    for entry in told:
        number_of = f"{entry['trials']:,} {noun(entry['trials'], 'trial')}"
        console.print(f"forgotten {entry['at']}: {number_of} of {entry['symbol']} {entry['day']}: {entry['why']}")
    for problem in problems(results.out_root):
        console.print(f"warning: {problem}")
    if not rows:
        console.print(f"no trials on record below {results.out_root}" + (" pass the filters" if symbol or day else ""))


def _forget(ledger: "Ledger", symbol: str, day: str, why: str | None) -> int:
    reason = why
    if reason is None and sys.stdin.isatty():
        reason = click.prompt(f"why are the trials of {symbol} {day} forgotten", err=True)
    if not (reason or "").strip():
        raise UsageError('--forget writes down why; give --why "TEXT"')
    try:
        return ledger.forget(symbol, day, str(reason).strip())
    except OSError as error:
        raise UsageError(f"{ledger.folder}: cannot be written ({error.strerror}); nothing was forgotten") from error


def _trials_line(row: Mapping[str, Any]) -> Sequence[str]:
    days = row["days"]
    span = days[0] if len(days) == 1 else f"{days[0]}-{days[-1]}"
    opened = f"held out, opened {row['held_out_openings']:,}×" if row["held_out_openings"] else ""
    known = f"{row['n_trials']:,} {noun(row['n_trials'], 'trial')} ({number(row['n_independent'], 3)} independent)"
    best = f"best {signed(row['best'])} by {row['quotes']}"
    parts = (row["symbol"], span, row["fill_model"], known, best, f"{row['first']} to {row['last']}", opened)
    return [part for part in parts if part]


@command(arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids)])
def runs_show(console: Console, results: Results, name: str) -> None:
    """Show one run: knobs, inputs, outputs and main numbers.

    RUN is its folder, its RUN_ID, or the beginning of its RUN_ID or digest.
    """
    from mm.backtest.summary_text import sign_of_mean, tried_of
    from mm.report.as_of_now import as_of_now
    from mm.runs.find import open_run
    from mm.runs.tags import Tags

    run = open_run(name, results.out_root)
    manifest = run.manifest
    console.set_json({**manifest, "path": str((run.folder / MANIFEST).resolve())})
    console.print(
        f"{manifest['kind']} {manifest['symbol']} {manifest['day']}  {manifest['run_id']}  {manifest['status']}"
    )
    console.print(f"folder   {run.folder}")
    log = run.log_file()
    console.print(f"log      {log}" + ("" if log.is_file() else " (no longer exists)"))
    console.print(f"time     {manifest['started_at']} to {manifest['finished_at']}")
    console.print(f"version  {manifest['version']} {manifest['commit'] or ''}".rstrip())
    console.print(f"digest   {manifest['digest']}")
    now = as_of_now(manifest["summary"], results.out_root)
    if now.get("verdict"):
        console.print(f"verdict  {sign_of_mean(Summary.read(now))}")
    if trials := tried_of(Summary.read(now)):
        console.print(f"trials   {trials}")
    said = Tags(results.out_root).tagged(run)
    if said.tags or said.note:
        console.print(f"tags     {' '.join(f'#{tag}' for tag in said.tags)}  {said.note}".rstrip())
    # Nested values are in --json.
    single = {key: value for key, value in manifest["summary"].items() if not isinstance(value, dict | list)}
    knobs = {name: knob for name, knob in manifest["knobs"].items() if knob["source"] != "default"}
    rows = [(file["path"], "" if file["rows"] is None else f"  {file['rows']} rows") for file in manifest["outputs"]]
    for title, lines in (
        ("knobs that were set", [f"{key} = {knob['value']}  ({knob['source']})" for key, knob in knobs.items()]),
        ("inputs", [f"{file['path']}  {file['bytes']} bytes" for file in manifest["inputs"]]),
        ("outputs", [path + count for path, count in rows]),
        ("timings", [f"{key} = {value}" for key, value in manifest["timings"].items()]),
        ("summary", [f"{key} = {shown(value)}" for key, value in single.items()]),
    ):
        if lines:
            console.print("\n".join([title, *(f"  {line}" for line in lines)]))


@command(arguments=_LOG)
def runs_log(console: Console, results: Results, name: str, level: str | None, search: str | None) -> None:
    """Show the log of a run: time, level, event and values, one event per line, followed by tracebacks.

    RUN is as for mm runs show. With --json the lines are one JSON list.

    Example: mm runs log 20260105T080000Z --level WARNING
    """
    from mm.runs.find import open_run

    run = open_run(name, results.out_root)
    path = run.log_file()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: the log of {run.folder} cannot be read ({error.strerror})") from error
    least = LEVELS.index((level or LEVELS[0]).upper())
    wanted = [line for line in text.splitlines() if (search or "").lower() in line.lower()]
    events = [event for event in map(_event, wanted) if LEVELS.index(str(event.get("level", "info")).upper()) >= least]
    console.set_json({"path": str(path.resolve()), "events": events})
    for event in events:
        console.print(_event_line(event))
    if not events:
        console.print(f"no matching line in {path}")


def _event(line: str) -> dict[str, Any]:
    """Return a line that a crash cut as text."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        event = None
    return event if isinstance(event, dict) and event.get("level", "").upper() in LEVELS else {"event": line}


def _event_line(event: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in event.items() if name not in ("ts", "level", "event", *_BOUND)}
    trace = rest.pop("traceback", None) or rest.pop("exception", None)
    head = f"{event.get('ts', '')}  {event.get('level', ''):<8} {event['event']}".strip()
    line = "  ".join([head, *(f"{name}={value}" for name, value in rest.items())])
    return line if trace is None else f"{line}\n{trace}"


def _wanted(runs: "Sequence[RunFolder]", tags: "Tags", filters: tuple[str | None, ...]) -> "list[RunFolder]":
    kind, symbol, day, tag = filters
    return [
        run
        for run in runs
        if (kind is None or run.manifest["kind"] == kind.lower())
        and (symbol is None or symbol.upper() in (run.symbol, *run.symbol.split("+")))
        and (day is None or day in run.days())
        and (tag is None or tag in tags.tagged(run).tags)
    ]


def _row(run: "RunFolder") -> dict[str, str]:
    return {
        **{name: str(run.manifest[name]) for name in COLUMNS if name in run.manifest},
        "path": str(run.folder),
    }


def _print_table(console: Console, rows: Sequence[Mapping[str, str]]) -> None:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in COLUMNS}
    for row in [{name: name for name in COLUMNS}, *rows]:
        console.print("  ".join(row[name].ljust(widths[name]) for name in COLUMNS).rstrip())


@command(arguments=_NAMES)
def runs_diff(console: Console, results: Results, first: str, second: str) -> None:
    """List the differences of two runs: knobs, version, inputs, outputs and main numbers.

    A and B are run folders, RUN_IDs, or the beginning of a RUN_ID or digest. The exit code is 0 also for different
    runs; --json has "equal".

    Example: mm runs diff base wide
    """
    from mm.cli.task_knobs import knobs_without_effect
    from mm.runs.diff import compare
    from mm.runs.find import open_run

    one, other = open_run(first, results.out_root), open_run(second, results.out_root)
    comparison = compare(one, other, knobs_without_effect())
    console.set_json(comparison.to_json())
    for line in comparison.lines():
        console.print(line)


@command(arguments=[_RUNS, _OUT])
def runs_compare(console: Console, results: Results, pages: Pages, names: Sequence[str], out: str | None) -> None:
    """Draw the tear sheet of two to eight backtests: their numbers, charts and differing knobs.

    Differences are to the first RUN, over the time that both cover. A RUN is as for mm runs diff, which compares bytes;
    mm compare compares replay, shadow and trade order by order. BASE/BTCUSDT is the part of a symbol in a run of one
    account.

    Example: mm runs compare base wide glft
    """
    from mm.backtest.summary_text import tried_of
    from mm.report.frame import plotly_address
    from mm.report.tear_sheet import MOST_RUNS, difference_text, tear_sheet
    from mm.runs.find import open_part
    from mm.runs.tags import Tags

    if not 2 <= len(names) <= MOST_RUNS:
        raise UsageError(
            f"a tear sheet has 2 to {MOST_RUNS} runs, not {len(names)}; mm runs export writes a table of any number"
        )
    runs = [open_part(name, results.out_root, ("backtest", "walkforward")) for name in names]
    if len({(run.folder.resolve(), run.symbol) for run in runs}) < len(runs):
        raise UsageError(f"{' '.join(names)}: a run is given twice; name each once")
    path = Path(out) if out else new_page(results.out_root / "compare")
    sheet = _sheet(runs, Tags(results.out_root), path, results.out_root)
    form = "inline" if path.suffix == PDF else pages.plotlyjs
    write_page(path, tear_sheet(sheet, plotly_address(form, results.out_root, path.parent)))
    console.set_json({**sheet.to_json(), "path": str(path.resolve())})
    head = ["", *(run.name for run in sheet.runs)]
    rows = [head, *([name, *(number(value, 6) for value in values)] for name, values in sheet.numbers().items())]
    differences = sheet.to_json()["runs"]
    rows.append(
        ["less the first", "", *(difference_text(run_difference["difference"]) for run_difference in differences[1:])]
    )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *values in rows:
        cells = (f"{value:>{width}}" for value, width in zip(values, widths[1:], strict=True))
        console.print("  ".join([f"{name:<{widths[0]}}", *cells]))
    for line in sheet.unequal():
        console.print(f"note: {line}")
    for run in sheet.runs:
        if said := tried_of(run.summary):
            console.print(f"trials of {run.name}: {said}")
    console.print(str(path))


def _sheet(runs: "Sequence[RunFolder]", tags: "Tags", page: Path, out_root: Path) -> "TearSheet":
    from mm.report.as_of_now import as_of_now
    from mm.report.tear_sheet import ComparedRun, TearSheet

    for run in runs:
        run.check_traded()
    ids = [run.name for run in runs]
    names = [
        own if ids.count(own) == 1 else f"{own} {run.manifest['symbol']} {run.manifest['day']}"
        for own, run in zip(ids, runs, strict=True)
    ]
    return TearSheet(
        [
            ComparedRun(
                name,
                run.manifest,
                Summary.read(as_of_now(run.summary, out_root)),
                columns=run.columns,
                tags=tags.tagged(run).tags,
                note=tags.tagged(run).note,
                link=_link(run, page),
            )
            for name, run in zip(names, runs, strict=True)
        ]
    )


def _link(run: "RunFolder", page: Path) -> str | None:
    own = run.folder / (run.symbol if run.account else "") / PAGE
    return quote(Path(os.path.relpath(own, page.parent)).as_posix()) if own.is_file() else None


@command(arguments=_TAG)
def runs_tag(
    console: Console, results: Results, name: str, add: Sequence[str], remove: Sequence[str], note: str | None
) -> None:
    """Add tags and a note to a run, or show them; mm runs list --tag finds it again.

    RUN is as for mm runs show. Tags are kept in OUT_ROOT/run_tags.json, as the folder of a run never changes.

    Example: mm runs tag base --add candidate --note "spread of the last three weeks"
    """
    from mm.runs.find import open_run
    from mm.runs.tags import Tags

    for tag in (*add, *remove):
        if not tag or any(letter.isspace() for letter in tag):
            raise UsageError(f"a tag is a word without blanks, not {tag!r}")
    run, tags = open_run(name, results.out_root), Tags(results.out_root)
    said = tags.change(run, add, remove, note) if add or remove or note is not None else tags.tagged(run)
    console.set_json({"run_id": run.manifest["run_id"], "tags": said.tags, "note": said.note})
    console.print(
        f"{run.manifest['run_id']}  {' '.join(f'#{tag}' for tag in said.tags) or 'no tags'}  {said.note}".rstrip()
    )


@command(arguments=_EXPORT)
def runs_export(
    console: Console,
    results: Results,
    kind: str | None,
    symbol: str | None,
    day: str | None,
    tag: str | None,
    out: str | None,
    mlflow: str | None,
    experiment: str,
) -> None:
    """Write all runs as one table, or into MLflow: their knobs, the numbers of their summary, their tags.

    The table has a row per run and columns knob.NAME and summary.PATH, null where a run has none. In MLflow knobs are
    parameters, numbers metrics, and files up to 32 MB artefacts; a run that was exported before is updated.

    Example: mm runs export --kind backtest --out runs.parquet --mlflow sqlite:///mlflow.db
    """
    from mm.runs.find import find_runs
    from mm.runs.mlflow_export import MOST_BYTES, MlflowExport
    from mm.runs.tags import Tags

    if out is None and mlflow is None:
        raise UsageError("neither --out FILE nor --mlflow [URI] is given; name where the runs are written to")
    path = None if out is None else Path(out)
    if path is not None and path.suffix not in (".parquet", ".csv"):
        raise UsageError(f"--out: {path.name} is neither .parquet nor .csv")
    tags = Tags(results.out_root)
    runs = _wanted(find_runs(results.out_root)[0], tags, (kind, symbol, day, tag))
    written: dict[str, Any] = {"runs": len(runs)}
    if path is not None:
        table = run_table(runs, tags, results.out_root)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            (table.write_parquet if path.suffix == ".parquet" else table.write_csv)(path)
        except OSError as error:
            raise UsageError(f"--out: {path} cannot be written ({error.strerror}); give another file") from error
        written |= {"columns": table.width, "path": str(path.resolve())}
        console.print(f"{table.height} runs, {table.width} columns")
        console.print(str(path))
    if mlflow is not None:
        store = MlflowExport(mlflow, experiment)
        with console.progress("runs exported", len(runs)) as advance:
            new = 0
            for run in runs:
                new += store.write(run, tags.tagged(run))
                advance(1)
        written |= {"mlflow": {"uri": store.uri, "new": new, "updated": len(runs) - new, "left_out": store.left_out}}
        console.print(f"{new} runs added and {len(runs) - new} updated in {store.uri}, experiment {experiment}")
        for file in store.left_out:
            console.print(f"note: {file} was left out: it is missing or larger than {MOST_BYTES // 1_000_000} MB")
    console.set_json(written)


def run_table(runs: "Sequence[RunFolder]", tags: "Tags", out_root: Path) -> "pl.DataFrame":
    import polars as pl

    from mm.report.as_of_now import as_of_now

    rows = []
    for run in runs:
        said, now = tags.tagged(run), as_of_now(run.manifest["summary"], out_root)
        knobs = {f"knob.{name}": knob["value"] for name, knob in run.manifest["knobs"].items()}
        numbers = {f"summary.{name}": value for name, value in flat(now) if "[" not in name}
        about = {"digest": run.manifest["digest"], "tags": " ".join(said.tags), "note": said.note}
        rows.append({**_row(run), **about, **knobs, **numbers})
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    return pl.DataFrame([_column(name, values) for name, values in columns.items()])


def _column(name: str, values: Sequence[Any]) -> "pl.Series":
    import polars as pl

    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return pl.Series(name, values, pl.Float64, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def _print_page(path: Path, html: str) -> None:
    """Print a page by a browser of this machine."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise UsageError(f"--out: {path} needs a browser, one of {', '.join(BROWSERS)} on the PATH; or give FILE.html")
    with TemporaryDirectory() as place:
        page, printed = Path(place, "page.html"), Path(place, "page.pdf")
        page.write_text(html, encoding="utf-8")
        words = [program, "--headless=new", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=10000"]
        words.append(f"--window-size={SHEET[0]},{SHEET[1]}")  # charts are drawn as wide as they are printed
        words += ["--no-sandbox"] * (os.geteuid() == 0)  # a browser refuses to run as root with one
        words += [f"--user-data-dir={place}/browser", f"--print-to-pdf={printed}", page.as_uri()]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PRINT_S)
        except subprocess.TimeoutExpired as error:
            raise TryLater(f"--out: {program} has not printed {path} within {PRINT_S} s; try again") from error
        if not printed.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UsageError(f"--out: {program} did not print {path} ({said}); give FILE.html")
        shutil.move(printed, path)


def write_page(path: Path, html: str) -> None:
    """Write a page, or print it where *path* is that of a PDF."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == PDF:
            _print_page(path, html)
        else:
            path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written ({error.strerror}); give another file") from error
