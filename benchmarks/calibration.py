"""``mm bench calibration``: bias, efficiency and coverage on days with known truth, compared with the bars."""

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.diagnostics import DRAWN, Outcomes, rolling
from benchmarks.figures import Figure, figure, share
from benchmarks.studies import COLUMNS, FEW, STUDIES
from benchmarks.verdicts import Checked, checked, lines_of
from mm.base.numbers import MINUS
from mm.terminal.console import Console

SEED = 20_260_105
CHUNK = 20  # days per task of a process
COVER = {"cover_k": "k in 95 %", "cover_A": "A in 95 %", "cover_k_block": "k by blocks", "cover_A_block": "A by blocks"}


@dataclass(frozen=True, slots=True)
class Line:
    """Results of one calibration method over the days of a study.

    Attributes:
        name: The method.
        days: Days with a usable fit.
        unusable: Number of other days.
        fills: Mean number of fills that it counted.
        sd_k: Standard deviation of k, relative to the true one.
        figures: By column of `COLUMNS`: bias relative to the truth, coverage as a share of the days.
    """

    name: str
    days: int
    unusable: int
    fills: float
    sd_k: float
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Bar:
    """The allowed range of a figure.

    Attributes:
        study: Its study.
        name: Name of the figure.
        figure: Its value and standard error.
        low: Minimum allowed value.
        high: Maximum allowed value.
    """

    study: str
    name: str
    figure: Figure
    low: float
    high: float

    def possible(self, errors: float) -> bool:
        """Whether the truth may be within the range, given this many standard errors of the figure."""
        return self.figure.possible(self.low, self.high, errors)

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or ``open`` if more days are needed to decide."""
        return self.figure.verdict(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Results:
    """Results of the studies.

    Attributes:
        form: ``quick`` or ``full``.
        studies: The lines of each.
        bars: The bars.
        diagnostics: The diagnostics with their sizes and powers.
        seconds: Duration of each study, and of one fit in ms.
    """

    form: str
    studies: dict[str, list[Line]]
    bars: list[Bar]
    diagnostics: list[Checked]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        studies = {name: [_plain(asdict(line)) for line in lines] for name, lines in self.studies.items()}
        bars = [{**_plain(asdict(bar)), "verdict": bar.verdict} for bar in self.bars]
        diagnostics = [_plain(one.to_json()) for one in self.diagnostics]
        return {
            "form": self.form,
            "studies": studies,
            "bars": bars,
            "diagnostics": diagnostics,
            "seconds": self.seconds,
        }

    def lines(self, name: str) -> list[str]:
        """Return all of it as text."""
        text = [f"{name}, {self.form} form: means over days ± their standard errors"]
        for study, lines in self.studies.items():
            text += ["", f"{study}: {STUDIES[study].title}; {lines[0].days + lines[0].unusable:,} of them"]
            shown = [key for key in COVER if any(math.isfinite(line.figures[key].value) for line in lines)]
            heads = "".join(f"{COVER[key]:>16}" for key in shown)
            text.append(f"  {'':<30}{'fills':>7}{'bias k':>16}{'bias A':>16}{'sd k':>8}{heads}")
            text += [_text(line, shown) for line in lines]
        if self.bars:
            text += ["", f"{'bar':<56}{'found':>16}   {'wanted':<16}"]
            text += [_bar_line(bar) for bar in self.bars]
        if self.diagnostics:
            text += ["", *lines_of(self.diagnostics)]
        text.append("seconds: " + ", ".join(f"{key} {value:.3g}" for key, value in self.seconds.items()))
        return text


def measure(
    console: Console,
    *,
    full: bool,
    names: Sequence[str] = (*STUDIES, *DRAWN),
    workers: int | None = None,
    captures: Path | None = None,
) -> Results:
    """Run the studies, on all processors, and compare them with their bars.

    Args:
        console: Shows the progress.
        full: All days; False uses a few, with rough figures.
        names: The studies of estimates and of diagnostics.
        workers: Number of processes that share the days; None for the number of processors.
        captures: Folder of recorded captures, for the diagnostics measured on one; full form only.
    """
    studies: dict[str, list[Line]] = {}
    outcomes: list[dict[str, Outcomes]] = []
    seconds: dict[str, float] = {"one fit, ms": round(1000 * one_fit_s(), 3)}
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        for name in names:
            start_s = time.perf_counter()
            study = STUDIES.get(name) or DRAWN[name]
            days = study.full if full else study.quick
            starts = range(0, days, CHUNK)
            stops = [min(at + CHUNK, days) for at in starts]
            chunks: list[Any] = []
            with console.progress(name, days) as step:
                for chunk in pool.map(_chunk if name in STUDIES else _diagnosed, [name] * len(starts), starts, stops):
                    chunks.append(chunk)
                    step(CHUNK)
            if name in STUDIES:
                studies[name] = summarised(chunks)
            else:
                outcomes += [day for chunk in chunks for day in chunk]
            seconds[name] = round(time.perf_counter() - start_s, 1)
    if full and captures and outcomes:
        outcomes.append(rolling(captures))
    return Results("full" if full else "quick", studies, bars_of(studies), checked(outcomes), seconds)


def summarised(chunks: Sequence[dict[str, NDArray[np.float64]]]) -> list[Line]:
    """Return the lines of a study from its days, in the order of their draws."""
    lines = []
    for name in chunks[0]:
        days = np.concatenate([chunk[name] for chunk in chunks])
        usable = days[np.isfinite(days[:, 0])]
        figures = {key: figure(usable[:, at]) for at, key in enumerate(COLUMNS)}
        fills = figures.pop("fills").value
        sd_k = float(usable[:, 0].std(ddof=1)) if len(usable) > 1 else math.nan
        lines.append(Line(name, len(usable), len(days) - len(usable), fills, sd_k, figures))
    return lines


def bars_of(studies: dict[str, list[Line]]) -> list[Bar]:
    """Return the bars with their figures from the studies."""
    by_name = {(study, line.name): line for study, lines in studies.items() for line in lines}
    bars = []
    for (study, name), keys, low, high in LIMITS:
        line = by_name.get((study, name))
        bars += [Bar(study, f"{name}: {_KEYS[key]}", line.figures[key], low, high) for key in keys if line]
    for study, others in (("steady", ("ladder, first fill", "ladder, all fills")), ("tape", ("ladder",))):
        for other in others:
            marks, ladder = by_name.get((study, "marks")), by_name.get((study, other))
            if marks and ladder:
                name = f"variance of k, marks over {other}"
                bars.append(Bar(study, name, _variance_ratio(marks, ladder), 0.0, 0.2))
    return bars


_BOTH, _BLOCKS = ("cover_k", "cover_A"), ("cover_k_block", "cover_A_block")
_KEYS = {**COVER, "bias_k": "bias of k", "bias_A": "bias of A"}
LIMITS: list[tuple[tuple[str, str], tuple[str, ...], float, float]] = [
    *((("steady", name), _BOTH, 0.935, 0.965) for name in ("marks", "ladder, first fill", "ladder, all fills")),
    (("steady", "fixed"), _BLOCKS, 0.925, 0.965),
    *((("mixed", name), _BLOCKS, 0.925, 0.965) for name in ("marks", "ladder, all fills", "fixed")),
    *((("few", f"{shown}, 200 fills, MLE"), ("bias_k", "bias_A"), -0.01, 0.01) for shown in ("marks", "ladder")),
    *((("few", f"{s}, {n} fills, Firth"), ("bias_k",), -0.015, 0.015) for s in ("marks", "ladder") for n in FEW),
    *((("tape", name), _BOTH, 0.935, 0.965) for name in ("marks", "ladder")),
    *((("bursts", name), _BLOCKS, 0.925, 0.965) for name in ("marks", "ladder")),
    (("runs", "fixed"), _BLOCKS, 0.925, 0.965),
    *((("loop", side), _BOTH, 0.935, 0.965) for side in ("bid", "ask")),
]


def one_fit_s(repeats: int = 200) -> float:
    """Return the processor seconds of one complete fit, including intervals and tests, of a ladder's table."""
    from benchmarks import truth
    from mm.calibration.fit_points import fit_poisson

    day = truth.few(truth.Truth(), "ladder", 200, np.random.default_rng(SEED))
    fit_poisson(day)
    began = time.process_time()
    for _ in range(repeats):
        fit_poisson(day)
    return (time.process_time() - began) / repeats


def _chunk(name: str, start: int, stop: int) -> dict[str, NDArray[np.float64]]:
    """Return the days *start* to *stop* of a study, by calibration method."""
    days = [STUDIES[name].one(SEED + at) for at in range(start, stop)]
    return {method: np.array([day[method] for day in days]) for method in days[0]}


def _diagnosed(name: str, start: int, stop: int) -> list[dict[str, Outcomes]]:
    """Return the results of the diagnostics on the days *start* to *stop*."""
    return [DRAWN[name].one(SEED + at) for at in range(start, stop)]


def _variance_ratio(marks: Line, ladder: Line) -> Figure:
    """Return the ratio of two variances, with its error for independent normal draws."""
    ratio = (marks.sd_k / ladder.sd_k) ** 2
    return Figure(ratio, ratio * math.sqrt(2 / marks.days + 2 / ladder.days))


def _text(line: Line, shown: Sequence[str]) -> str:
    """Return one line of a study as text."""
    biases = "".join(f"{_percent(line.figures[key]):>16}" for key in ("bias_k", "bias_A"))
    covers = "".join(f"{share(line.figures[key]):>16}" for key in shown)
    unusable = f"   {line.unusable} not usable" if line.unusable else ""
    return f"  {line.name:<30}{line.fills:>7.0f}{biases}{line.sd_k:>8.3f}{covers}{unusable}".rstrip()


def _bar_line(bar: Bar) -> str:
    text = _percent if "bias" in bar.name else share
    wanted = (
        f"{100 * bar.low:g} to {100 * bar.high:g} %".replace("-", MINUS)
        if "bias" in bar.name
        else f"{bar.low:g} to {bar.high:g}"
    )
    return f"{bar.study + ', ' + bar.name:<56}{text(bar.figure):>16}   {wanted:<16}{bar.verdict}"


def _percent(figure: Figure) -> str:
    if not math.isfinite(figure.value):
        return ""
    return f"{100 * figure.value:+.2f} ± {100 * figure.se:.2f} %".replace("-", MINUS)


def _plain(value: Any) -> Any:
    """Return *value* as a JSON value."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
