"""``mm fit``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.cli.frame import command
from mm.errors import FitError
from mm.play.calibration_knobs import Fit
from mm.terminal.console import Console

if TYPE_CHECKING:
    pass


@command(
    arguments=[click.Argument(["points"], type=click.Path(path_type=Path), metavar="POINTS.csv")],
    defaults={"min_exposure_s": 0.0, "max_delta_ticks": None},
)
def fit(console: Console, fit: Fit, points: Path) -> None:
    """Fit λ(δ) = A·exp(-k·δ) to POINTS.csv: columns delta_ticks, exposure_s, fills, optionally side and block."""
    from mm.calibration.fit_points import fit_poisson
    from mm.calibration.points import dependent_rows, read_points

    result = fit_poisson(
        read_points(points),
        fit_method=fit.fit_method,
        min_exposure_s=fit.min_exposure_s,
        min_usable_deltas=fit.min_usable_deltas,
        max_delta_ticks=fit.max_delta_ticks if isinstance(fit.max_delta_ticks, float) else None,
    )
    note = dependent_rows(points)
    if note:
        result = replace(result, warnings=(*result.warnings, note))
    console.print(result.summary())
    console.set_json({**result.to_json(), "path": str(points.resolve())})
    if not result.usable:
        raise FitError(f"{points}: the fit is not usable ({result.status}: {result.reason})")
