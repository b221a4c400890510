"""``mm calibrate``."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.rules import Account, Execution
from mm.base.day_notes import once_for_days
from mm.cli.config import OrdersFile
from mm.cli.frame import runner
from mm.clock import US_PER_S
from mm.errors import FitError
from mm.play.calibration_knobs import Calibration, Fit
from mm.play.knobs import Day, Market
from mm.report.contents import FIT, POINTS
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.calibration.config import CalibrationConfig
    from mm.calibration.exposure import Played
    from mm.tape.tape import Tape


ADVERSE = "adverse_selection.csv"


@runner("calibration", method="calib_method", brief=(Day, Calibration, Fit))
def calibrate(
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

    from mm.backtest.metrics.json_values import finite
    from mm.backtest.trading_time import open_parts
    from mm.calibration import calibrate as steps
    from mm.calibration.goodness import table
    from mm.calibration.hawkes import fit_hawkes, flow_of
    from mm.calibration.intervals import with_drift
    from mm.calibration.moves import adverse_selection, write_adverse_selection
    from mm.calibration.points import write_points
    from mm.play.engine_rules import rules_of
    from mm.play.notes import day_notes
    from mm.report.calibration import further_cards, page
    from mm.runs.noted import opened

    tapes = opened(run, day, market).tapes
    rules = rules_of(tapes[0], execution, account)
    tapes = open_parts(tapes, rules.hours)
    config = measuring(run, calibration, fit, execution, account, tapes[0])
    tables = TableWriter(run, orders_file.orders_format)
    with run.timing("play"), ThreadPoolExecutor(1) as other:
        fitting = other.submit(lambda: fit_hawkes(flow_of(tapes, config.rule.grouped)))
        fitted = steps.measure(tapes, config, rules, tables.played)
        moved, timed = other.submit(adverse_selection, fitted.calibrator), other.submit(steps.timing, tapes)
        permuted, pieces = steps.permutations(fitted), fitted.calibrator.steadiness()
        moves, timing, clusters = moved.result(), timed.result(), fitting.result()
        fitted = replace(fitted, fit=replace(fitted.fit, clustering=finite(clusters.to_json())))
        window_s = sum(end_us - start_us for start_us, end_us in fitted.calibrator.days) / US_PER_S
        fitted = replace(fitted, fit=with_drift(fitted.fit, window_s))
        fitted = replace(fitted, fit=replace(fitted.fit, warnings=(*fitted.fit.warnings, *day_notes(tapes))))
    with run.timing("write"):
        tables.declare()
        write_points(run.path(POINTS), fitted.measured.shown)
        content = steps.artefact(fitted, permuted, timing)
        text = msgspec.json.format(json.dumps(content), indent=1)  # json is slow with indentation
        run.path(FIT).write_text(text + "\n", encoding="utf-8")
        write_adverse_selection(run.path(ADVERSE), moves)
        run.write_page(page(fitted.fit, fitted.measured, pieces, run.about, further_cards(content, moves)))
    run.artefact = FIT
    run.summary = {name: getattr(fitted.fit, name) for name in ("usable", "status", "A", "k")}
    run.summary |= {"calib_deltas": content["options"]["calib_deltas"]}
    run.print(table(fitted.measured.fitted, fitted.fit))
    run.print(fitted.fit.headline())
    if shared := fitted.told_shared():
        run.print(shared)
    choice, shape, reference = fitted.fit.reference_choice, fitted.fit.shape, fitted.fit.reference
    beyond = f"; the distances of this fit are from the {reference}" if choice and choice.chosen != reference else ""
    whys = (choice and choice.why + beyond, shape and shape.why)
    notes = (*whys, permuted and str(permuted), str(clusters), *fitted.fit.warnings)
    for note in once_for_days(str(note) for note in notes if note):
        run.print(f"note: {note}")
    if not fitted.fit.usable:
        raise FitError(f"{day.symbol} {day.label()}: the fit is not usable ({fitted.fit.status}: {fitted.fit.reason})")


def measuring(
    run: Run, calibration: Calibration, fit: Fit, execution: Execution, account: Account, tape: "Tape"
) -> "CalibrationConfig":
    """Note the files that the configuration reads as inputs of the run."""
    from mm.play.calibration import calibration_config, measured_models
    from mm.runs.noted import note_files

    note_files(run, [execution.latency_file])
    if (measured := measured_models(calibration, account.seed, tape)) is not None:
        run.keep_source(measured.filling.sources)
    return calibration_config(calibration, fit, account.seed, tape)


class TableWriter:
    """Writes the tables of each simulated run, in the thread that plays it."""

    def __init__(self, run: Run, orders_format: str) -> None:
        self._run, self._form = run, orders_format
        self._written: dict[str, tuple[dict[str, int], dict[str, str]]] = {}

    def played(self, name: str, play: "Callable[..., Played]") -> "Played":
        from mm.calibration.exposure import is_repetition

        repeated = is_repetition(name)
        played, hashes = play(all_rows=not repeated), dict[str, str]()
        if (result := played.result) is not None:
            folder = self._run.path(f"runs/{name}")
            rows = result.write_fills(folder, hashes) if repeated else result.write_tables(folder, hashes, self._form)
            self._written[name] = rows, hashes
        return played

    def declare(self) -> None:
        for name, (rows, hashes) in sorted(self._written.items()):
            for file, count in rows.items():
                self._run.output(f"runs/{name}/{file}", count, sha256=hashes.get(file))
