"""The commands of results: knobs, arguments and help."""

from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.common_knobs import data_root_knob, moved_data_root_knob
from mm.base.knobs import integer, knob, matching
from mm.cli.completion import runs as run_ids
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.cli.task_knobs import Drawn
from mm.play.knobs import Pages, Results

TRUST = click.Option(
    ["--trust"],
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of Python code that may be executed where the run or predictor names it; may be repeated.",
)


report = command(
    Drawn,
    arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), TRUST],
    body="mm.commands.report:main",
    text="""
    Redraw the page of a run, given as its folder or its RUN_ID under OUT_ROOT.

    If its days are unchanged, a backtest or a walk-forward is replayed, also under optimistic and pessimistic
    assumptions (SENSITIVITY=0 skips these), and a calibration is measured again. Parts that cannot be replayed are
    noted, and the rest is drawn from the files of the run. A user's model is executed only if its file is named by
    --trust, because a run may come from anyone. Exit code 3 if RUN is not a run, or a file cannot be read.

    Example: mm report 20260105T080000Z
    """,
)

_FILTERS = (
    click.Option(["--kind"], metavar="KIND", help="Only runs of this kind (backtest, calibration, …)."),
    click.Option(["--symbol"], metavar="SYMBOL", help="Only runs of this symbol, in any case."),
    click.Option(["--day"], metavar="YYYYMMDD", help="Only runs that include this day."),
    click.Option(["--tag"], metavar="TAG", help="Only runs with this tag."),
)


runs_list = command(
    Results,
    arguments=_FILTERS,
    body="mm.commands.runs:list_command",
    text="""
    List the runs under OUT_ROOT, oldest first, with their main numbers.

    The filters are not knobs: an exported SYMBOL does not filter this list. Folders that are not runs
    are listed below them.
    """,
)

runs_show = command(
    Results,
    arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids)],
    body="mm.commands.runs:show_command",
    text="""
    Show one run: knobs, inputs, outputs and main numbers.

    RUN is its folder, its RUN_ID, or the beginning of its RUN_ID or digest.
    """,
)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


_LOG = (
    click.Argument(["name"], metavar="RUN", shell_complete=run_ids),
    click.Option(["--level"], type=click.Choice(LEVELS, case_sensitive=False), help="Minimum level."),
    click.Option(["--search"], metavar="TEXT", help="Only lines that contain this text, in any case."),
)


runs_log = command(
    Results,
    arguments=_LOG,
    body="mm.commands.runs:log_command",
    text="""
    Show the log of a run: time, level, event and values, one event per line, followed by tracebacks.

    RUN is as for mm runs show. With --json the lines are one JSON list.

    Example: mm runs log 20260105T080000Z --level WARNING
    """,
)

_NAMES = [
    click.Argument(["first"], metavar="A", shell_complete=run_ids),
    click.Argument(["second"], metavar="B", shell_complete=run_ids),
]


runs_diff = command(
    Results,
    arguments=_NAMES,
    body="mm.commands.runs:diff_command",
    text="""
    List the differences of two runs: knobs, version, inputs, outputs and main numbers.

    A and B are run folders, RUN_IDs, or the beginning of a RUN_ID or digest. A difference is not a failure: the exit
    code is 0, and --json has "equal".

    Example: mm runs diff base wide
    """,
)

_RUNS = click.Argument(["names"], nargs=-1, required=True, metavar="RUN RUN…", shell_complete=run_ids)


_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in OUT_ROOT.")


runs_compare = command(
    Results,
    Pages,
    arguments=[_RUNS, _OUT],
    body="mm.commands.runs:compare_command",
    text="""
    Draw the tear sheet of two to eight backtests: their numbers, charts and differing knobs.

    Differences are to the first RUN, over the time that both cover. A RUN is as for mm runs diff, which compares bytes;
    mm compare compares replay, shadow and trade of one strategy order by order.

    Example: mm runs compare base wide glft
    """,
)

_TAG = (
    click.Argument(["name"], metavar="RUN", shell_complete=run_ids),
    click.Option(["--add"], metavar="TAG", multiple=True, help="A tag to add; may be repeated."),
    click.Option(["--remove"], metavar="TAG", multiple=True, help="A tag to remove; may be repeated."),
    click.Option(["--note"], metavar="TEXT", help="A note, which replaces the last one; '' removes it."),
)


runs_tag = command(
    Results,
    arguments=_TAG,
    body="mm.commands.runs:tag_command",
    text="""
    Add tags and a note to a run, or show them; mm runs list --tag finds it again.

    RUN is as for mm runs show. They are kept in OUT_ROOT/run_tags.json, as the folder of a run never changes.

    Example: mm runs tag base --add candidate --note "spread of the last three weeks"
    """,
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


runs_export = command(
    Results,
    arguments=_EXPORT,
    body="mm.commands.runs:export_command",
    text="""
    Write all runs as one table, or into MLflow: their knobs, the numbers of their summary, their tags.

    In the table, which has a row per run, a column is named knob.NAME or summary.PATH; a run without it has null there.
    In MLflow knobs are parameters, numbers metrics, and the files of a run, up to 32 MB each, artefacts; a run that was
    exported before is updated.

    Example: mm runs export --kind backtest --out runs.parquet --mlflow sqlite:///mlflow.db
    """,
)


@dataclass(frozen=True, kw_only=True)
class Where(Results):
    """The folders of runs and recorded days."""

    data_root: Path | None = moved_data_root_knob()


_KEEP = click.Option(["--keep"], is_flag=True, help="Keep the second run, and print its folder.")


_TOLERANCE = click.Option(
    ["--tolerance"],
    type=click.FloatRange(0),
    default=0.0,
    metavar="T",
    help="Tolerance of numbers: relative, or absolute below 1; 0: identical bytes.",
)


runs_reproduce = command(
    Where,
    arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), _KEEP, _TOLERANCE, TRUST],
    body="mm.commands.reproduce:main",
    text="""
    Repeat a run with its knobs, and verify that its outputs are byte-identical, or list the differences.

    The inputs are verified by their sha256 first, and the days are read from their files, not from the tape cache.
    Pages are not compared, because they contain the command of their run. The second run uses a temporary folder,
    which is then removed. A user's model is executed as the run kept it, in source/, and only if that file, or one of
    the same content, is named by --trust, because a run may come from anyone. On another processor the last digits of
    fits differ: --tolerance sets the limit, and the largest difference of each file is printed. Exit code 0 if all is
    equal, 3 if an input or an output differs, 5 if a model is not trusted.

    Example: mm runs reproduce 20260105T080000Z
    """,
)


@dataclass(frozen=True, kw_only=True)
class Which(Results):
    """The number of the fill, and the number of market events around it."""

    fill: int = knob(1, integer(1, 10**12), "Number of the fill: its row in the fills file, from 1.", matters=False)
    around: int = knob(8, integer(1, 10_000), "Events to show before and after it.", matters=False)
    data_root: Path | None = moved_data_root_knob()


runs_explain = command(
    Which,
    arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids)],
    body="mm.commands.explain:main",
    text="""
    Show the tape around a fill of a backtest, and the cause of the fill.

    Example: mm runs explain 20260105T080000Z --fill 12
    """,
)

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Dashboard(Doors, Results):
    """The address of the dashboard, and the folders that it shows."""

    dashboard_host: str = knob(HOST, matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    dashboard_port: int = knob(8501, integer(0, 65535), "Port; 0: a free one.", flag="--port")
    data_root: Path = data_root_knob(common="")


dashboard = command(
    Dashboard,
    body="mm.commands.dashboard:main",
    text="""
    Show days, runs, calibrations and risk in a browser; SIGTERM and Ctrl-C end it.

    Beyond this machine it needs TLS and tokens: read shows, trade starts backtests, kill and rearm set the kill switch.
    No browser is opened: open the printed address.

    Example: mm dashboard --port 8501
    """,
)

_COMPARE_RUNS = click.Argument(["runs"], nargs=-1, required=True, metavar="RUN RUN…", shell_complete=run_ids)


_COMPARE_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in <OUT_ROOT>/compare/.")


compare = command(
    Results,
    arguments=[_COMPARE_RUNS, _COMPARE_OUT],
    body="mm.commands.compare:main",
    text="""
    Compare a replay, a shadow and a trade of one strategy, order by order; the first is the reference.

    Only the common time of all runs is compared. For two backtests on one page, with their knobs: mm runs compare.

    A RUN is a folder, a RUN_ID or the beginning of one. Example: mm compare 20260105T0800 20260105T0801
    """,
)
