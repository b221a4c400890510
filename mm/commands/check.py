"""``mm check lookahead``."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import day_knob
from mm.base.knobs import integer, knob, matching
from mm.cli.frame import command
from mm.errors import DataError, SafetyError
from mm.play.knobs import DamagedDay, Day, Market, Models, OpenedDay, OtherMarkets, Results, Source
from mm.runs.plan import new_page
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.probes.run_comparison import Report
    from mm.tape.tape import Tape


TESTS = ("fresh", "shifted", "files", "opened")


@dataclass(frozen=True, kw_only=True)
class Checked(OpenedDay, DamagedDay, Results, Source):
    """The day, the number of cuts, and the tests to skip."""

    day: str = day_knob()
    check_cuts: int = knob(12, integer(1, 10_000), "Number of instants at which the day is cut.", flag="--cuts")
    check_skip: str | None = knob(
        None,
        matching(rf"({'|'.join(TESTS)})(,({'|'.join(TESTS)}))*", f"a list of {', '.join(TESTS)}", "TEST,TEST,…"),
        "Tests to skip: shifted for a model that depends on dates, opened for one that reads past data.",
        flag="--skip",
    )
    check_past: str | None = knob(
        None,
        matching(r".+", "a file, or several with commas", "FILE"),
        "File or folder that the model reads, of which you say that it holds nothing later than the day's begin.",
        joined=",",
        flag="--past",
        common="File with past data only, though made later",
    )

    def past(self) -> list[Path]:
        files = [Path(text).expanduser() for text in (self.check_past or "").split(",") if text]
        for path in files:
            if not path.exists():
                raise DataError("{check_past}: {}: there is no such file", path)
        return files


_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in <OUT_ROOT>/lookahead/.")


@command(arguments=[click.Argument(["model"], metavar="[MODEL]", required=False), _OUT], brief=(Checked, Models))
def check_lookahead(
    console: Console,
    checked: Checked,
    market: Market,
    execution: Execution,
    account: Account,
    margin: Margin,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    model: str | None,
    out: str | None,
) -> None:
    """Test a model or a signal for look-ahead: replay it on days that end, change or shift at random instants.

    Its actions before each instant must be byte-identical, and so must a second run's. MODEL is a quote or a fill
    model, as for --quote-model or --fill-model; set the other model and the parameters as for mm backtest. Or MODEL is
    a signal (mm signals list, the folder of a predictor, or package.module:Class), whose rows are compared. The page
    shows the tests, the cuts and each difference. Exit code 0 without a difference, 5 if the model looks ahead.

    Example: mm check lookahead my_models:Join --symbol BTCUSDT --day 20251216 --quote-params-json '{"most_clips": 3}'
    """
    from mm.play.setup import Setup
    from mm.probes.lookahead import Probe, file_watch, named_signal, with_model
    from mm.probes.signal_lookahead import SignalProbe
    from mm.trials.openings import write_openings

    day = Day.like(checked, checked.symbol, checked.day)
    setup = Setup.of(day, market, execution, account, margin, models, risk, others)
    watch, skip = file_watch(setup, model, checked.past()), set((checked.check_skip or "").split(","))
    with watch.watching():
        signal = named_signal(model)
        if not signal:
            setup = replace(setup, models=with_model(models, model))
    with tempfile.TemporaryDirectory(prefix="mm-lookahead-") as place:
        probe: SignalProbe | Probe
        if signal:
            probe = SignalProbe(signal, setup, watch, frozenset(skip), Path(place))
            report, about = probe.run(checked.check_cuts), {"signal": signal}
        else:
            probe = Probe(setup, watch, skip, Path(place))
            report = probe.run(console, checked.check_cuts)
            about = {"quote": setup.models.quote_model, "fill": setup.models.fill_model}
    for problem in write_openings(checked.out_root, [probe.tape], "check"):
        console.print(f"note: {problem}")
    folder = new_page(checked.out_root / "lookahead" / checked.symbol, f"{checked.day}_", suffix="")
    folder.mkdir(parents=True)
    page = _page(probe.tape, tuple(about.values()), report, Path(out) if out else folder / "lookahead.html")
    content = {
        "schema_version": 1,
        "symbol": checked.symbol,
        "day": checked.day,
        "models": about,
        **report.to_json(),
        "page": str(page.resolve()),
    }
    path = folder / "lookahead.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.set_json(content | {"path": str(path.resolve())})
    console.print(f"{', '.join(about.values())} on {checked.symbol} {checked.day}, {len(report.cuts)} cuts")
    for line in report.lines():
        console.print(line)
    console.print(str(page))
    if report.findings:
        first = report.findings[0]
        n = len(report.findings)
        failed = f"{n} comparison{'s' * (n > 1)} failed; {first.test}: {first.message}"
        raise SafetyError(f"{', '.join(about.values())}: {failed}")


def _page(tape: "Tape", names: tuple[str, ...], report: "Report", path: Path) -> Path:
    from mm.probes.lookahead_page import lookahead_page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lookahead_page(tape, names, report), encoding="utf-8")
    return path
