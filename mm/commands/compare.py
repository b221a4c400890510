"""``mm compare``: a replay, a shadow and a trade side by side, as a table, as JSON and as one page."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.cli.completion import runs as run_ids
from mm.cli.console import Console
from mm.cli.frame import command
from mm.play.knobs import Results
from mm.runs.plan import new_page

if TYPE_CHECKING:
    pass


_COMPARE_RUNS = click.Argument(["runs"], nargs=-1, required=True, metavar="RUN RUN…", shell_complete=run_ids)


_COMPARE_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in <OUT_ROOT>/compare/.")


@command(Results, arguments=[_COMPARE_RUNS, _COMPARE_OUT])
def compare(console: Console, results: Results, runs: tuple[str, ...], out: str | None) -> None:
    """Compare a replay, a shadow and a trade of one strategy, order by order; the first is the reference.

    Only the common time of all runs is compared. For two backtests on one page, with their knobs: mm runs compare.

    A RUN is a folder, a RUN_ID or the beginning of one. Example: mm compare 20260105T0800 20260105T0801
    """
    from mm.live.pages.compare import KINDS, compare_runs, read_run
    from mm.live.pages.compare_page import comparison_page, comparison_text
    from mm.runs.find import open_part

    read = [read_run(open_part(name, results.out_root, KINDS)) for name in runs]
    comparison = compare_runs(read)
    path = Path(out) if out else new_page(results.out_root / "compare" / comparison.symbol)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(comparison_page(comparison, read), encoding="utf-8")
    console.print(comparison_text(comparison))
    console.print(str(path))
    console.set_json({**asdict(comparison), "path": str(path)})
