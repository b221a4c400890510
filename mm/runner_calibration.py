"""``mm calibrate``: one day to ``poisson_fit.json``."""

import json

from mm.cli import runner
from mm.config import Account, Calibration, Day, Execution, Fit, Market
from mm.errors import FitError
from mm.runs import Run

POINTS = "calibration_points.csv"
FIT = "poisson_fit.json"


@runner("calibration", Day, Market, Calibration, Fit, Execution, Account, method="calib_method")
def main(
    run: Run,
    day: Day,
    market: Market,
    calibration: Calibration,
    fit: Fit,
    execution: Execution,
    account: Account,
) -> None:
    """Measure how often trades reach each distance on one day, and fit A and k.

    Example: mm calibrate --symbol BTCUSDT --day 20251216 --method ladder --deltas 1,2,3,5,8,13
    """
    from mm import assemble
    from mm.calibration.calibrate import measure
    from mm.calibration.points import write_points

    tape = assemble.one_tape(run, day, market)
    with run.timing("play"):
        found = measure(tape, assemble.recipe(calibration, fit, account.seed), assemble.rules(tape, execution, account))
    with run.timing("write"):
        write_points(run.path(POINTS), found.measured.shown)
        run.path(FIT).write_text(json.dumps(found.fit.to_json(), indent=1) + "\n", encoding="utf-8")
        for name, result in found.runs.items():
            result.write_tables(run.path(f"runs/{name}"))
    run.artefact = FIT
    run.summary = {"usable": found.fit.usable, "status": found.fit.status, "A": found.fit.A, "k": found.fit.k}
    run.say(found.fit.headline())
    if not found.fit.usable:
        raise FitError(f"{day.symbol} {day.label()}: the fit is not usable ({found.fit.status}: {found.fit.reason})")


if __name__ == "__main__":
    main()
