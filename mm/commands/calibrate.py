"""``mm calibrate``: make ``poisson_fit.json`` from one or more days."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from mm.backtest.rules import Account, Execution
from mm.cli.calibration_knobs import Calibration, Fit
from mm.cli.config import Day, Market, OrdersFile
from mm.cli.frame import runner
from mm.errors import FitError
from mm.runs.run import Run

if TYPE_CHECKING:
    from mm.calibration.hawkes import ArrivalFlow, HawkesFit
    from mm.calibration.simulated_runs import Played

POINTS = "calibration_points.csv"
FIT = "poisson_fit.json"
ADVERSE = "adverse_selection.csv"


@runner(
    *("calibration", Day, Market, Calibration, Fit, Execution, Account, OrdersFile),
    method="calib_method",
    brief=(Day, Calibration, Fit),
)
def main(
    run: Run,
    day: Day,
    market: Market,
    calibration: Calibration,
    fit: Fit,
    execution: Execution,
    account: Account,
    orders_file: OrdersFile,
) -> None:
    """Measure how often trades reach each distance, and fit A and k; several days are pooled.

    Example: mm calibrate --symbol BTCUSDT --day 20251216 --method ladder --deltas 1,2,3,5,8,13
    """
    import msgspec

    from mm.calibration.calibrate import adverse_selection, artefact, measure, permutations, write_adverse_selection
    from mm.calibration.fit_result import plain
    from mm.calibration.goodness import steadiness, table
    from mm.calibration.hawkes import fit_hawkes, flow_of
    from mm.calibration.points import write_points
    from mm.commands import assemble
    from mm.report.calibration import further_cards, page

    tapes = assemble.tapes(run, day, market)
    rules = assemble.rules(tapes[0], execution, account, run=run)
    config = assemble.calibration_config(calibration, fit, account.seed, tapes[0], run)
    with run.timing("play"), TableWriter(run, orders_file.orders_format) as tables:
        fitting = tables.submit(fit_hawkes, flow_of(tapes, config.rule.grouped))
        found = measure(tapes, config, rules, tables.played)
        permuted, moves, pieces = permutations(found), adverse_selection(found.calibrator), steadiness(found.calibrator)
        tables.finish()
        clusters = fitting.result()
        found = replace(found, fit=replace(found.fit, clustering=plain(clusters.to_json())))
    with run.timing("write"):
        write_points(run.path(POINTS), found.measured.shown)
        content = artefact(found, permuted)
        text = msgspec.json.format(json.dumps(content), indent=1)  # json is slow with indentation
        run.path(FIT).write_text(text + "\n", encoding="utf-8")
        write_adverse_selection(run.path(ADVERSE), moves)
        run.write_page(page(found.fit, found.measured, pieces, run.about, further_cards(content, moves)))
    run.artefact = FIT
    run.summary = {name: getattr(found.fit, name) for name in ("usable", "status", "A", "k")}
    run.summary |= {"calib_deltas": content["options"]["calib_deltas"]}
    run.print(table(found.measured.fitted, found.fit))
    run.print(found.fit.headline())
    choice, shape, reference = found.fit.reference_choice, found.fit.shape, found.fit.reference
    other = f"; the distances of this fit are from the {reference}" if choice and choice.chosen != reference else ""
    whys = (choice and choice.why + other, shape and shape.why)
    notes = (*whys, permuted and str(permuted), str(clusters), *found.fit.warnings)
    for note in filter(None, notes):
        run.print(f"note: {note}")
    if not found.fit.usable:
        raise FitError(f"{day.symbol} {day.label()}: the fit is not usable ({found.fit.status}: {found.fit.reason})")


class TableWriter:
    """Writes the orders, fills and state of simulated runs in another thread while the next one runs.

    Of the repetitions of a ladder only the fills are written: their orders are those of the ladder of another seed.

    Args:
        run: The run whose folder contains them.
        orders_format: Format of the orders files, ``csv`` or ``parquet``.
    """

    def __init__(self, run: Run, orders_format: str) -> None:
        self._run, self._other, self._form = run, ThreadPoolExecutor(1), orders_format
        self._place, self._hashes = "", dict[str, str]()
        self._rows: Future[dict[str, int]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all writing before an error removes the folder."""
        self._other.shutdown()

    def played(self, name: str, play: "Callable[[], Played]") -> "Played":
        """Play simulated orders and write their tables, after those of the previous run."""
        from mm.calibration.simulated_runs import is_repetition

        played = play()
        if (result := played.result) is not None:
            self.finish()
            self._place, self._hashes = f"runs/{name}", {}
            folder = self._run.path(self._place)
            if is_repetition(name):
                self._rows = self._other.submit(result.write_fills, folder, self._hashes)
            else:
                self._rows = self._other.submit(result.write_tables, folder, self._hashes, self._form)
        return played

    def submit(self, function: "Callable[[ArrivalFlow], HawkesFit]", flow: "ArrivalFlow") -> "Future[HawkesFit]":
        """Call *function* with *flow* in the other thread, before any tables."""
        return self._other.submit(function, flow)

    def finish(self) -> None:
        """Wait for the tables of the last run, and declare their rows."""
        if self._rows is None:
            return
        with self._run.timing("write"):
            rows, self._rows = self._rows.result(), None
        for file, count in rows.items():
            self._run.output(f"{self._place}/{file}", count, sha256=self._hashes.get(file))
