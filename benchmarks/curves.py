"""``python -m benchmarks.curves CAPTURES``: gain of each curve of λ on recorded markets, on held-out blocks.

CAPTURES is the folder of recorded captures (``../shared/data``). Every curve is compared with the exponential from the
mid by the likelihood of the same fills in the same cells (`mm.calibration.reference_choice`). If a day is long enough
for a schedule, its segments are evaluated as well: whether their predictive intervals include the observed fills.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.base.arrays import Floats
from mm.base.numbers import MINUS
from mm.calibration.alternatives import MONOTONE, gain_of
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.reference_choice import EndCells, by_reference
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, Family
from mm.calibration.windows import US_PER_MIN, WindowPlan
from mm.walkforward.walkforward import study

if TYPE_CHECKING:
    from mm.tape.tape import Tape

BLOCKS = 24  # minimum number of blocks, of five minutes or less
MIN_FILLS = 100  # minimum fills in a row of distances
FAMILY: dict[str, Family | None] = {one.name: one for one in FAMILIES} | {MONOTONE: None}
METHODS = [(reference, name) for reference in ("mid", "best") for name in FAMILY if name != "logistic"]
ENDS = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 30), (31, 100), (101, 1 << 40))  # ticks beyond the touch


class Capture(NamedTuple):
    """A recorded market: its folder, its symbol, tick and step in the exchange's notation, its day and format."""

    folder: str
    symbol: str
    tick: str
    step: str
    day: str
    form: str = "raw"


CAPTURES = (
    Capture("binance-spot-nexousdt-20240723-24", "NEXOUSDT", "0.001", "0.01", "20240723"),
    Capture("binance-spot-nexousdt-20240723-24", "NEXOUSDT", "0.001", "0.01", "20240724"),
    Capture("binance-spot-btcusdt-20240808-09", "BTCUSDT", "0.01", "0.00001", "20240809"),
    Capture("bitstamp-btcusd-20150501-l3", "BTCUSD", "0.01", "0.00000001", "20150501", "bitstamp"),
    Capture("binance-spot-multi-20210404", "BTCUSDT", "0.01", "0.000001", "20210404"),
    Capture("binance-spot-multi-20210404", "ETHUSDT", "0.01", "0.00001", "20210404"),
    Capture("binance-spot-multi-20210404", "DOTUSDT", "0.0001", "0.001", "20210404"),
)
"""Captures in `../shared/data` that begin with a complete book and have trades."""


def tape_of(root: Path, capture: Capture) -> "Tape":
    """Return the tape of a capture, which is imported into a temporary folder."""
    from mm.backtest.io import load_day
    from mm.market_data.capture_import import CAPTURE_FORMS, ImportOptions, import_captures

    options, form = ImportOptions(tick_size=capture.tick, qty_step=capture.step), CAPTURE_FORMS[capture.form]
    paths = sorted(path for path in (root / capture.folder).iterdir() if path.suffix in (".gz", ".bz2"))
    with tempfile.TemporaryDirectory() as folder:
        import_captures(paths, capture.symbol, Path(folder), run_id="bench", options=options, form=form)
        return load_day(Path(folder) / capture.symbol / capture.day)


def cells_of(calibrator: Calibrator) -> dict[str, EndCells]:
    """Return the fills of a day from each reference."""
    span_us = calibrator.end_us - calibrator.start_us
    return by_reference(calibrator, min(300_000_000, span_us // BLOCKS))


def walked(calibrator: Calibrator) -> Iterator[str]:
    """Yield the share of segments whose predictive interval includes their fills.

    Yields nothing if the day has no complete segment of the default windows.
    """
    plan = WindowPlan()
    walk = study(calibrator, plan)
    hits, ratios = [], []
    for segment in walk.schedule.segments:
        low, high = segment.predictive_low, segment.predictive_high
        if segment.end_us - segment.start_us == plan.step_min * US_PER_MIN and low is not None and high is not None:
            hits.append(low <= calibrator.points(segment.start_us, segment.end_us).fills.sum() <= high)
            ratios.append((high + 1) / (low + 1))
    if hits:
        yield f"  {'schedule':<24}{'segments':>8}{'interval holds':>18}{'median high/low':>18}"
        yield f"  {plan.mode:<24}{len(hits):>8}{np.mean(hits):>18.3f}{np.median(ratios):>18.1f}"


def gains(cells: dict[str, EndCells]) -> Iterator[str]:
    """Yield a line per reference and curve: gain and standard error in nats per fill."""
    plain, fills = cells["mid"].unseen(EXPONENTIAL), float(cells["mid"].fills.sum())
    for reference, name in METHODS:
        gain, error = gain_of(cells[reference].unseen(FAMILY[name]) - plain, fills)
        yield f"  {reference:<6}{name:<18}{f'{gain:+.3f} ± {error:.3f}'.replace('-', MINUS):>18}"


def ratios(cells: dict[str, EndCells]) -> Iterator[str]:
    """Yield a line per range of ends beyond the touch: fills, and predicted over observed of two curves."""
    mid = cells["mid"]
    yield f"  {'ticks beyond the touch':<24}{'seen':>8}{'mid exponential':>18}{'best monotone':>16}"
    observed = _sums_by_end(mid, mid.fills.sum(axis=0))
    exponential, monotone = (
        _sums_by_end(mid, _predicted(mid, EXPONENTIAL)),
        _sums_by_end(cells["best"], _predicted(cells["best"], None)),
    )
    for (first, last), count, plain, curve in zip(ENDS, observed, exponential, monotone, strict=True):
        if count >= MIN_FILLS:
            name = f"{first}" if first == last else f"{first} and more" if last > 1 << 30 else f"{first} to {last}"
            yield f"  {name:<24}{count:>8,.0f}{plain / count:>18.2f}{curve / count:>16.2f}"


def _predicted(cells: EndCells, family: Family | None) -> Floats:
    """Return the predicted fills of each row under the curve of ``held_out``, given the total of each block."""
    total = np.zeros(len(cells.shape.delta))
    for parity, gain in enumerate(cells.held_out(family)):
        reached = cells.exposure_s[parity::2] * np.exp(gain)
        fills = cells.fills[parity::2].sum(axis=1)
        total += (reached * (fills / np.maximum(reached.sum(axis=1), 1e-300))[:, None]).sum(axis=0)
    return total


def _sums_by_end(cells: EndCells, values: Floats) -> list[float]:
    """Return the sums of *values*, one per row, by the distance of a row's cell beyond the touch."""
    first = cells.shape.delta - np.repeat(cells.shape.delta[:: cells.ends], cells.ends)
    return [float(values[(first >= low) & (first <= high)].sum()) for low, high in ENDS]


def main() -> None:
    """Print the tables of every capture."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("python -m benchmarks.curves CAPTURES: CAPTURES is the folder of recorded captures (../shared/data)")
    for capture in CAPTURES:
        calibrator = Calibrator(tape_of(Path(sys.argv[1]), capture), CalibrationConfig())
        cells = cells_of(calibrator)
        mid = cells["mid"]
        print(f"{capture.symbol} {capture.day}: {mid.fills.sum():,.0f} fills in {len(mid.fills)} blocks")
        print(f"  {'from':<6}{'curve':<18}{'nats per fill':>18}")
        print("\n".join((*gains(cells), *ratios(cells), *walked(calibrator))))


if __name__ == "__main__":
    main()
