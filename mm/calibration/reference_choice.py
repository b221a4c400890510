"""Choice of the reference price: shapes of λ from each, compared out of sample on the same fills."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.base.arithmetic import quantiles
from mm.base.arrays import Floats, Ints
from mm.base.numbers import fixed, half_width, with_plain_minus
from mm.calibration.alternatives import LEAST_BLOCKS, gain_of
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import CalibrationConfig
from mm.calibration.depth_counts import SIDES, DepthCounts
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.fit_result import ReferenceChoice
from mm.calibration.likelihood import Shape, Table
from mm.calibration.points import group, sum_by
from mm.calibration.reference import AUTO, BLOCK_US, CLOSED, PER_TICK, reference_paths
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, Cells, Family, fitted, shares_loglik
from mm.calibration.tally import CELLS, REACHED
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.tape.tape import Tape

REST_FROM = ("best", "micro")  # references that ``auto`` may choose instead of the mid
QUOTED_FROM = "mid"  # the price from which quote models measure their distances
CLEAR = 1.0  # standard errors by which the exponential of another reference must be better than the mid's
LEAST_GAIN = 1e-3  # nats per fill; with a constant spread, references differ by rounding only
CLEARER = 2.0  # the same for the best of several shapes, and for any comparison of a short recording
SHORT_BLOCKS = 24  # for a recording of fewer than `LEAST_BLOCKS` blocks of five minutes, instead of those
SHORT_FILLS = 100  # minimum for such a recording
MOST_ROWS = 3_000  # for the monotone curve, whose cost grows with their square


@dataclass(frozen=True)
class EndCells:
    """One reference's fills by block, state and cell.

    Attributes:
        shape: Start and width of each row's cell; the width is inf for the last cell of a state.
    """

    shape: Shape
    exposure_s: Floats
    fills: Floats
    ends: int

    @classmethod
    def of(cls, days: "Sequence[DepthCounts]", begins: Ints, block_us: int = BLOCK_US) -> "EndCells":
        per_tick, width = days[0].path.per_tick, len(begins)
        *firsts, blocks = accumulate((-((day.span[0] - day.span[1]) // block_us) for day in days), initial=0)
        known, states = numbered([day.path.touch[side][day.path.rows(*day.span)] for day in days for side in SIDES])
        waited, places = np.zeros(blocks * len(known)), list[Ints]()
        for number, (day, begin) in enumerate(zip(days, firsts, strict=True)):
            edges, rows, block = day.path.segments(*day.span, block_us)
            first, lasted_s = day.path.rows(*day.span).start, np.diff(edges) / US_PER_S
            for side, state in zip(SIDES, states[len(SIDES) * number :], strict=False):
                at = state[rows - first]
                place = (begin + block) * len(known) + at
                waited += np.bincount(place[at >= 0], lasted_s[at >= 0], waited.size)
                hits, touch = day.hits(side, *day.span)
                at = state[np.maximum(hits.row - first, 0)]
                cell = np.searchsorted(begins, (hits.depth - touch) // per_tick, side="right") - 1
                place = ((begin + (hits.us - day.span[0]) // block_us) * len(known) + at) * width + cell
                places.append(place[at >= 0])
        fills = np.bincount(np.concatenate(places), minlength=waited.size * width).astype(np.float64)
        near = (known[:, None] / per_tick + begins).ravel()
        wide = np.tile(np.append(np.diff(begins).astype(np.float64), np.inf), len(known))
        return cls(
            Shape(near, wide), np.repeat(waited.reshape(blocks, -1), width, axis=1), fills.reshape(blocks, -1), width
        )

    def summed(self) -> tuple[Shape, Ints]:
        first, groups = group(self.shape.delta, self.shape.width)
        return Shape(self.shape.delta[first], self.shape.width[first]), groups

    @np.errstate(all="ignore")
    def held_out(self, family: Family | None) -> tuple[Floats, Floats]:
        """ln of each row's rate for even and for odd blocks, by curves fitted to the other parity (None: monotone)."""
        shape, groups = self.summed()
        waited, fills = (
            np.stack([sum_by(groups, column[1 - parity :: 2].sum(axis=0), len(shape.delta)) for parity in (0, 1)])
            for column in (self.exposure_s, self.fills)
        )
        scale = max(float((fills @ shape.delta).sum() / fills.sum()) - float(shape.delta[0]), 1.0)
        curves = fitted(
            family, Cells(shape, scale), np.maximum(waited, 1e-9 * waited.max(axis=1, keepdims=True)), fills
        )
        return curves[0].log_gain[groups], curves[1].log_gain[groups]

    @np.errstate(all="ignore")
    def unseen(self, family: Family | None) -> Floats:
        loglik = np.zeros(len(self.fills))
        for parity, gain in enumerate(self.held_out(family)):
            loglik[parity::2] = shares_loglik(gain, self.exposure_s[parity::2], self.fills[parity::2])
        return np.where(self.fills.any(axis=1), loglik, 0.0)


@dataclass(frozen=True)
class SpanCells(EndCells):
    """The same fills, predicted from the first print of an aggressive order and the ticks swept from there.

    The depth beyond the displayed, older price is the first print's distance from it plus these ticks.
    """

    begins: Ints
    block: Ints
    offset: Ints
    span: Ints

    @classmethod
    def beside(cls, cells: EndCells, marks: dict[str, list[DepthCounts]], begins: Ints, block_us: int) -> "SpanCells":
        parts, first = [], 0
        for best, own in zip(marks["best"], marks["sweep"], strict=True):
            start_us, end_us = best.span
            for side in SIDES:
                shown, prints = (counts.sweeps[side].between(start_us, end_us) for counts in (best, own))
                valid = (best.path.touch[side][shown.row] != CLOSED) & (prints.depth >= 0)
                block = first + (shown.us - start_us) // block_us
                parts.append(np.stack((block, shown.depth - prints.depth, prints.depth))[:, valid])
            first -= (start_us - end_us) // block_us
        block, offset, span = np.concatenate(parts, axis=1)
        return cls(cells.shape, cells.exposure_s, cells.fills, cells.ends, begins, block, offset, span)

    @np.errstate(all="ignore")
    def held_out(self, family: Family | None) -> tuple[Floats, Floats]:
        first, last = int(self.offset.min()), int(self.offset.max())
        count = min(int(self.span.max()) + 2, MOST_ROWS)
        shape = Shape(np.arange(count, dtype=np.float64), np.append(np.ones(count - 1), np.inf))
        halves = [self.block % 2 != parity for parity in (0, 1)]
        spans = np.minimum(self.span, count - 1)
        fills = np.stack([sum_by(spans[half], np.ones(int(half.sum())), count) for half in halves])
        scale = max(float(self.span.mean()), 1.0)
        gains = []
        for half, curve in zip(halves, fitted(family, Cells(shape, scale), np.ones(fills.shape), fills), strict=True):
            counts = np.bincount(self.offset[half] - first, minlength=last - first + 1)
            began = counts + 0.5 / len(counts)  # every distance of a first print has a positive probability
            ends = np.convolve(began, np.exp(curve.log_gain - curve.log_gain.max()))
            upto = np.concatenate(([0.0], np.cumsum(ends)))
            edges = np.append(np.clip(self.begins - first, 0, len(ends)), len(ends))
            gains.append(np.log(np.maximum(np.diff(upto[edges]), 1e-300)))
        return gains[0], gains[1]


def numbered(touches: list[Ints]) -> tuple[Ints, list[Ints]]:
    touch = np.concatenate(touches)
    first, number = group(touch)
    known = touch[first]
    closed = known == CLOSED
    state = np.where(closed, -1, np.cumsum(~closed) - 1)[number]
    return known[~closed], np.split(state, np.cumsum([len(touch) for touch in touches])[:-1])


def end_cells(days: "Sequence[DepthCounts]") -> Ints:
    hits = [day.hits(side, *day.span) for day in days for side in SIDES]
    ends = np.concatenate([(hit.depth - touch) // days[0].path.per_tick for hit, touch in hits])
    last = max(math.ceil(quantiles(ends, [REACHED])[0]), 1) if ends.size else 1
    if last < CELLS:
        return np.arange(last + 1)
    wide = np.unique(np.rint(np.geomspace(1, last, CELLS)).astype(np.int64))
    return np.concatenate(([0], wide))


def by_reference(calibrator: Calibrator, block_us: int = BLOCK_US) -> dict[str, EndCells]:
    return _cells_of(marks_by_reference(calibrator), block_us)


def marks_by_reference(calibrator: Calibrator) -> dict[str, list[DepthCounts]]:
    options = replace(calibrator.depth_options, reference="mid")
    by_mid = [DepthCounts(tape, options) for tape in calibrator.tapes]
    others = [reference_paths(tape, [name for name in PER_TICK if name != "mid"]) for tape in calibrator.tapes]
    beside = {
        name: [day.along(paths[name], name) for day, paths in zip(by_mid, others, strict=True)] for name in others[0]
    }
    return {"mid": by_mid, **beside}


def _cells_of(marks: dict[str, list[DepthCounts]], block_us: int) -> dict[str, EndCells]:
    begins = end_cells(marks["mid"])
    cells = {name: EndCells.of(days, begins, block_us) for name, days in marks.items() if name != "sweep"}
    return {**cells, "sweep": SpanCells.beside(cells["best"], marks, begins, block_us)}


def _lacking(mid: EndCells, block_us: int) -> str:
    fills = round(float(mid.fills.sum()))
    if block_us < BLOCK_US and fills < SHORT_FILLS:
        return (
            f"{fills} fills were recorded in less than {LEAST_BLOCKS} blocks of {BLOCK_US // US_PER_S // 60} minutes, "
            f"and a comparison of references needs at least {SHORT_FILLS} there"
        )
    if not all(mid.fills[parity::2].any() for parity in (0, 1)):
        length = (
            f"{block_us / US_PER_S / 60:.3g} minutes" if block_us >= 60 * US_PER_S else f"{block_us / US_PER_S:.3g} s"
        )
        return f"references are compared between even and odd blocks of {length}, and one of the two sets has no fills"
    return ""


def _compared(marks: dict[str, list[DepthCounts]]) -> tuple[ReferenceChoice | None, str]:
    spans = [day.span[1] - day.span[0] for day in marks["mid"]]
    short = sum(-(-span // BLOCK_US) for span in spans) < LEAST_BLOCKS
    block_us = max(-(-sum(spans) // SHORT_BLOCKS), 1) if short else BLOCK_US
    cells = _cells_of(marks, block_us)
    lacking = _lacking(cells["mid"], block_us)
    if lacking:
        return None, lacking
    exponential = {name: cell.unseen(EXPONENTIAL) for name, cell in cells.items()}
    fills = float(cells["mid"].fills.sum())
    choice = _choice("exponential", exponential, fills, CLEARER if short else CLEAR)
    if choice.chosen == "mid":
        best = {name: _best_unseen(cell, exponential[name]) for name, cell in cells.items()}
        by_curve = _choice("curve", best, fills, CLEARER)
        choice = choice if by_curve.chosen == "mid" else by_curve
    return choice, ""


def _best_unseen(cells: EndCells, exponential: Floats) -> Floats:
    distinct_rows = len(cells.summed()[0].delta)
    families = (*FAMILIES[1:], *([None] if distinct_rows <= MOST_ROWS else []))
    unseen = [exponential, *(cells.unseen(family) for family in families)]
    return max((loglik for loglik in unseen if np.isfinite(loglik).all()), key=lambda loglik: float(loglik.sum()))


def _choice(compared: str, unseen: dict[str, Floats], fills: float, clear: float) -> ReferenceChoice:
    """Choose another reference than the mid only if better by *clear* standard errors.

    ``sweep`` is compared, not chosen: resting orders also fill by the price move before the first print.
    """
    gains = {name: gain_of(loglik - unseen["mid"], fills) for name, loglik in sorted(unseen.items()) if name != "mid"}
    best = max(REST_FROM, key=lambda name: gains[name][0])
    gain, error = gains[best]
    chosen = best if gain > max(clear * error, LEAST_GAIN) else "mid"
    blocks = unseen["mid"].size
    text = ", ".join(
        f"{name} {with_plain_minus(fixed(mean, 3))} ± {half_width(off, blocks):.3f}"
        for name, (mean, off) in gains.items()
    )
    shape, over = (
        ("an exponential", "the mid") if compared == "exponential" else ("a curve", "the best one from the mid")
    )
    verdict = f"of the prices that orders can follow, {shape} from the {chosen} predicts unseen blocks best"
    if chosen != best and gain >= 0:
        verdict = "no other price that orders can follow predicts unseen blocks clearly better than the mid"
    return ReferenceChoice(
        chosen=chosen,
        gain_nats_per_fill={"mid": 0.0, **{name: mean for name, (mean, _) in gains.items()}},
        se=error,
        why=f"{verdict} (nats per fill over {over}: {text})",
        compared=compared,
    )


def chosen_before(
    tapes: "Sequence[Tape]", config: CalibrationConfig, until_us: int
) -> tuple[CalibrationConfig, ReferenceChoice | None, tuple[str, ...]]:
    """Replace ``auto`` by the reference chosen on data before *until_us*.

    Returns:
        Config, choice (None if the reference was given) and notes.
    """
    if config.reference != AUTO:
        return config, None, ()
    if config.fills is not None:
        return replace(config, reference=QUOTED_FROM), None, ()
    spans = [(tape, min(tape.end_us, until_us)) for tape in tapes if tape.start_us < until_us]
    parts = [tape.known_at(end_us) for tape, end_us in spans]
    calibrator = resolved(parts, config)
    return replace(config, reference=calibrator.config.reference), calibrator.choice, calibrator.notes


def k_by_reference(
    tapes: "Sequence[Tape]", config: CalibrationConfig, marks: dict[str, list[DepthCounts]]
) -> dict[str, float | None]:
    """The decay k per tick of whole days; None if unusable."""
    plain = replace(config, method="marks", fills=None)
    return {
        name: decay_of(Calibrator(tapes, replace(plain, reference=name), marks=days)) for name, days in marks.items()
    }


def decay_of(calibrator: Calibrator) -> float | None:
    estimate = maximum_likelihood(Table.of_points(calibrator.marked(calibrator.start_us, calibrator.end_us)))
    return None if isinstance(estimate, NoEstimate) or estimate.k <= 0 else estimate.k


class Resolved(NamedTuple):
    config: CalibrationConfig
    choice: ReferenceChoice | None
    marks: dict[str, list[DepthCounts]]
    notes: tuple[str, ...] = ()


def resolved(tapes: "Sequence[Tape]", config: CalibrationConfig) -> Resolved:
    given = QUOTED_FROM if config.reference == AUTO and config.fills is not None else config.reference
    marks = marks_by_reference(Calibrator(tapes, replace(config, method="marks", reference="mid", fills=None)))
    choice, lacking = _compared(marks)
    if given != AUTO:
        return Resolved(replace(config, reference=given), choice, marks)
    if choice:
        return Resolved(replace(config, reference=choice.chosen), choice, marks)
    note = f"CALIB_REFERENCE=auto (--calib-reference) is the mid here: {lacking}"
    return Resolved(replace(config, reference="mid"), None, marks, (note,))
