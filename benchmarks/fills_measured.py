"""``python -m benchmarks.fills_measured CAPTURES``: are fills predicted by a fit that was measured under their model?

CAPTURES is the folder of recorded captures (``../shared/data``). Each fill model and quantity is calibrated under
itself (``CALIB_FILLS``, ``CALIB_ORDER_QTY``), once with the default distances and once with the one quoted and a far
one. Orders at fixed distances are backtested with both fits, and with one by marks. A line is a distance at which a
backtest had 100 fills or more: how many, and what each fit predicts of them over what was seen.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mm
from benchmarks.curves import CAPTURES, LEAST_FILLS, tape_of
from mm.backtest.models import FILL_MODELS
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import CalibrationConfig, FillsMeasured
from mm.calibration.sweeps import HitRule
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.tape.tape import Tape

MODELS = ("queue_risk_averse", "queue_prob_log", "queue_prob_power", "trade_cross")
CLIP_E8 = 4 * E8  # about 5 USDT of NEXO, the exchange's least notional
CLIPS = (1, 10, 100)
QUOTED = (0.5, 1.0, 1.5, 2.0)  # ticks from the mid
FAR = 5.0  # ticks beyond, without which no k could be fitted


def fitted(tape: "Tape", model: str, qty_e8: int, deltas: tuple[float, ...] | None) -> "PoissonFit":
    """Return the fit of a day under a fill model; at the default distances where *deltas* is None."""
    fills = FillsMeasured(model, {}, FILL_MODELS[model])
    config = CalibrationConfig(method="fixed", rule=HitRule(order_e8=qty_e8), fills=fills)
    return measure(tape, config if deltas is None else replace(config, deltas=deltas)).fit


def rows_of(tape: "Tape", model: str, qty_e8: int, delta: float, fit: "PoissonFit") -> dict[float, dict[str, Any]]:
    """Return the rows of a backtest of orders at one distance, by their distance, beside what *fit* predicts."""
    result = mm.backtest(
        tape,
        "fixed_spread",
        model,
        fit=fit,
        quote_params_json={"delta_ticks": delta},
        quote_qty=str(qty_e8 // E8),
        initial_cash=10**7,
        initial_inventory=10**7,
        sensitivity=False,
    )
    return {row["from_ticks"]: row for row in result.summary["fills_by_distance"]}


def lines(tape: "Tape") -> Iterator[str]:
    """Yield the table of a day."""
    marks = mm.calibrate(tape)
    yield f"{'fill model':<19}{'clips':>5}{'quoted':>8}{'row':>6}{'seen':>8}{'same δ':>10}{'default δ':>11}{'marks':>8}"
    for model in MODELS:
        for clips in CLIPS:
            default = fitted(tape, model, clips * CLIP_E8, None)
            for delta in QUOTED:
                fits = (fitted(tape, model, clips * CLIP_E8, (delta, delta + FAR)), default, marks)
                own, *others = (rows_of(tape, model, clips * CLIP_E8, delta, fit) for fit in fits)
                for at, row in own.items():
                    if row["fills"] < LEAST_FILLS:
                        continue
                    ratios = [one[at]["predicted"] / row["fills"] for one in (own, *others)]
                    said = "".join(f"{ratio:>{width}.3f}" for ratio, width in zip(ratios, (10, 11, 8), strict=True))
                    yield f"{model:<19}{clips:>5}{delta:>8g}{at:>6g}{row['fills']:>8,}{said}"


def main(captures: str) -> None:
    """Print the table of the NEXOUSDT day."""
    capture = CAPTURES[1]
    print(f"{capture.symbol} {capture.day}: predicted over seen fills, rows of {LEAST_FILLS} fills or more")
    for line in lines(tape_of(Path(captures), capture)):
        print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
