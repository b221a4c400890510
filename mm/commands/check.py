"""``mm check lookahead``: does a model know what it cannot know?"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import click

from mm.backtest.rules import Account, Execution
from mm.cli.config import DamagedDay, Day, Market, Models, Results, Source
from mm.cli.console import Console
from mm.cli.frame import command
from mm.cli.knobs import ONE_DAY, REQUIRED, knob, matching, whole
from mm.errors import SafetyError

TESTS = ("fresh", "shifted", "files", "opened")


@dataclass(frozen=True, kw_only=True)
class Checked(DamagedDay, Results, Source):
    """Which day, how often it is cut, and what is left out."""

    day: str = knob(REQUIRED, ONE_DAY, "The day, YYYYMMDD.")
    check_cuts: int = knob(12, whole(1, 10_000), "Instants at which the day is cut.", flag="--cuts")
    check_skip: str | None = knob(
        None,
        matching(rf"({'|'.join(TESTS)})(,({'|'.join(TESTS)}))*", f"a list of {', '.join(TESTS)}", "TEST,TEST,…"),
        "Tests that are left out: shifted for a model that knows the calendar, opened for one that reads the past.",
        flag="--skip",
    )


@command(
    Checked,
    Market,
    Execution,
    Account,
    Models,
    arguments=[click.Argument(["model"], metavar="[MODEL]", required=False)],
    brief=(Checked, Models),
)
def lookahead(
    console: Console,
    checked: Checked,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    model: str | None,
) -> None:
    """Find out whether a model peeks: it is played on days that end, change or move at random instants.

    What it does before a cut must be the same to the last byte, and so must a second run. MODEL is a quote or a fill
    model, as --quote-model or --fill-model would name it; the other one, and the parameters, are given as to
    mm backtest. Exit code 0 where nothing was found, 5 where the model peeks.

    Example: mm check lookahead my_models:Join --symbol BTCUSDT --day 20251216 --quote-params-json '{"most_clips": 3}'
    """
    from mm.commands.setup import Setup
    from mm.evaluate.lookahead import Probe, file_watch, with_model

    day = Day(
        symbol=checked.symbol,
        day=checked.day,
        data_root=checked.data_root,
        out_root=checked.out_root,
        damaged=checked.damaged,
    )
    setup = Setup(day, market, execution, account, models)
    watch, skip = file_watch(setup), set((checked.check_skip or "").split(","))
    with watch.watching():
        setup = replace(setup, models=with_model(models, model))
    with tempfile.TemporaryDirectory(prefix="mm-lookahead-") as place:
        report = Probe(setup, watch, skip, Path(place)).run(console, checked.check_cuts)
    names = f"{setup.models.quote_model}, {setup.models.fill_model}"
    console.answer(
        {
            "ok": not report.findings,
            "models": {"quote": setup.models.quote_model, "fill": setup.models.fill_model},
            "cuts": len(report.cuts),
            "tests": {test: {"played": n, "failed": len(report.failed(test))} for test, n in report.played.items()},
            "findings": [one.to_dict() for one in report.findings],
            "notes": report.notes,
            "path": str(checked.folder(checked.day).resolve()),
        }
    )
    console.say(f"{names} on {checked.symbol} {checked.day}, {len(report.cuts)} cuts")
    for line in report.lines():
        console.say(line)
    if report.findings:
        first = report.findings[0]
        n = len(report.findings)
        raise SafetyError(f"{names}: {n} comparison{'s' * (n > 1)} failed; {first.test}: {first.message}")
