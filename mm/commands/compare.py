"""``mm compare``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mm.cli.completion import runs as run_ids
from mm.cli.frame import command
from mm.play.knobs import Results
from mm.runs.plan import new_page
from mm.terminal.console import Console

_COMPARE_RUNS = click.Argument(["runs"], nargs=-1, required=True, metavar="RUN RUN…", shell_complete=run_ids)


_COMPARE_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in <OUT_ROOT>/compare/.")


@command(arguments=[_COMPARE_RUNS, _COMPARE_OUT])
def compare(console: Console, results: Results, runs: tuple[str, ...], out: str | None) -> None:
    """Compare a replay, a shadow and a trade of one strategy, order by order; the first is the reference.

    Only the common time of all runs is compared. For two backtests on one page, with their knobs: mm runs compare.

    Runs of one account are compared as a whole and by symbol; BASE/BTCUSDT is the part of a symbol.

    A RUN is a folder, a RUN_ID or its beginning. Example: mm compare 20260105T0800 20260105T0801
    """
    from mm.live.pages.compare import KINDS, compare_runs, read_run
    from mm.live.pages.compare_account import (
        account_comparison_page,
        account_comparison_text,
        compare_accounts,
        read_account,
    )
    from mm.live.pages.compare_page import comparison_page, comparison_text
    from mm.runs.find import open_part

    opened = [open_part(name, results.out_root, KINDS) for name in runs]
    if len(opened) > 1 and all(run.symbols for run in opened):
        accounts = [read_account(run) for run in opened]
        together = compare_accounts(accounts)
        page, text = account_comparison_page(together, accounts), account_comparison_text(together)
        _show(console, results, out, (together.symbol, page, text, asdict(together)))
        return
    read = [read_run(run) for run in opened]
    comparison = compare_runs(read)
    page, text = comparison_page(comparison, read), comparison_text(comparison)
    _show(console, results, out, (comparison.symbol, page, text, asdict(comparison)))


def _show(console: Console, results: Results, out: str | None, shown: tuple[str, str, str, dict[str, Any]]) -> None:
    symbol, page, text, content = shown
    path = Path(out) if out else new_page(results.out_root / "compare" / symbol)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    console.print(text)
    console.print(str(path))
    console.set_json({**content, "path": str(path)})
