"""Calibration of any window of days: points and fit, by marks, a ladder of simulated orders, or a run per distance."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.rules import Rules
from mm.calibration.config import CalibrationConfig
from mm.calibration.day_orders import DayOrders, OrderRows
from mm.calibration.depth_counts import DayMarks, DepthOptions
from mm.calibration.exposure import Keep, clip_lots, played, pooled_rates, runs_of, simulated
from mm.calibration.fit_points import FitOptions, fit_poisson, fit_window
from mm.calibration.fit_result import FittedWindow, PoissonFit, ReferenceChoice, Sides
from mm.calibration.goodness import equal_pieces
from mm.calibration.intervals import HORIZON_S, predictive_ci95, with_block_errors
from mm.calibration.points import Points, joined
from mm.calibration.reference import BLOCK_S, BLOCK_US, PER_TICK, span_of, within
from mm.calibration.tally import reach_of
from mm.calibration.volatility import sigma_of
from mm.clock import US_PER_S
from mm.instrument import E8
from mm.tape.columns import trim_heap
from mm.tape.load import known_at_end, tapes_given

if TYPE_CHECKING:
    from mm.calibration.depth_counts import DepthCounts
    from mm.tape.tape import Tape


@dataclass(frozen=True)
class Measured:
    """Measurement of a part of the tapes.

    Attributes:
        shown: Points of ``calibration_points.csv``: cumulative for ``marks``.
    """

    fitted: Points
    shown: Points
    notes: tuple[str, ...] = ()


class Calibrator:
    """Measures any window of one or more days; simulated orders are run once for all windows.

    Attributes:
        played: The simulated runs by name (``ladder``, ``ladder_<n>``, ``delta_<d>``).
    """

    def __init__(  # noqa: PLR0913 - most have a default
        self,
        tape: "Tape | Sequence[Tape]",
        config: CalibrationConfig,
        rules: Rules | None = None,
        keep: Keep | None = None,
        held: int | None = None,
        learn_us: int | None = None,
        *,
        marks: "Sequence[DepthCounts]" = (),
        choice: ReferenceChoice | None = None,
    ) -> None:
        self.tapes = known_at_end(tapes_given(tape, "the calibration"))
        self.config, self.reference_choice = config, choice
        # Rates are of the market by one clock: reference, states, prints and simulated orders are as it was received.
        rules = rules and rules.without_feed()
        self._rules, self._held, self._found, self._learn_us = rules, held, marks, learn_us
        self._known: tuple[int, Calibrator] | None = None  # never itself: a circle would keep its days in memory
        self._orders: dict[int, DayOrders] = {}
        self._reaches: dict[tuple[int, int], float] = {}  # by window, as a fit requests one more than once
        if config.fills is not None and config.deltas is None:
            known_us = self.end_us if learn_us is None else min(self.end_us, self.start_us + learn_us)
            config = self.config = replace(config, deltas=(*config.distances, *self._farther(known_us)))
        if config.method != "marks":
            for day in self.tapes:
                day.release_memory()  # only its best prices are needed
            trim_heap()
        runs = (
            (name, partial(simulated, self.tapes, quotes, config, rules))
            for name, quotes in runs_of(self.tapes[0], config)
        )
        self.played = played(runs, config, keep)
        if self.played:
            for day in self.tapes:
                day.release_memory()  # no run reads it again

    def known_at(self, us: int) -> "Calibrator":
        """Return the calibrator of the days before *us* as known then (`Tape.known_at`); usually this one."""
        day = max((day for day, tape in enumerate(self.tapes) if tape.start_us < us), default=0)
        if us == self.end_us or not self.tapes[day].revised_after(us):
            return self
        if self._known is None or self._known[0] != us:
            tapes = (*self.tapes[:day], self.tapes[day].known_at(us))
            known = Calibrator(tapes, self.config, self._rules, held=self._held, learn_us=self._learn_us)
            known.marks = self.marks.ending(tapes)
            self._known = us, known
        return self._known[1]

    @property
    def fills_name(self) -> str | None:
        return None if self.config.fills is None else self.config.fills.name

    def _farther(self, until_us: int) -> Iterator[float]:
        """Distances beyond the defaults, up to the flow's reach until *until_us*."""
        near, far = self.config.distances[-2:]
        reach = self.reach(self.start_us, until_us)
        while 2 * far < reach:
            near, far = far, near + far
            yield far

    @property
    def order_qty(self) -> float | None:
        if self.config.fills is None:
            return None
        lot_e8 = self.tapes[0].instrument.lot_e8
        return clip_lots(self.config, self._rules or Rules(self.tapes[0].instrument.tick_e8, lot_e8)) * lot_e8 / E8

    @property
    def start_us(self) -> int:
        return self.tapes[0].start_us

    @property
    def end_us(self) -> int:
        return self.tapes[-1].end_us

    @property
    def days(self) -> list[tuple[int, int]]:
        return [(tape.start_us, tape.end_us) for tape in self.tapes]

    @property
    def day(self) -> str:
        return "-".join(dict.fromkeys((self.tapes[0].days[0], self.tapes[-1].days[-1])))

    @cached_property
    def marks(self) -> "DayMarks":
        return DayMarks(self.tapes, self.depth_options, self._held, self._found)

    @property
    def depth_options(self) -> "DepthOptions":
        return DepthOptions(self.config.reference, self.config.rule, self.config.max_delta_ticks, BLOCK_S)

    def parts(self, start_us: int, end_us: int) -> list[tuple[int, int, int]]:
        spans = ((day, *within(span, start_us, end_us)) for day, span in enumerate(self._spans))
        return [span for span in spans if span[1] < span[2]] or [(0, start_us, start_us)]

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        return [span_of(tape) for tape in self.tapes]

    def between(self, start_us: int, end_us: int) -> Measured:
        if (known := self.known_at(end_us)) is not self:
            return known.between(start_us, end_us)
        parts = self.parts(start_us, end_us)
        first = first_blocks(parts)
        if self.config.method != "marks":
            rows = self._rows(parts)
            silent = [tape.days[0] for tape in (self.tapes[day] for day, *_ in parts) if not tape.trade_side.size]
            note = (
                f"no trade on {', '.join(silent)}: orders filled only as the book moved through them, the "
                f"most adverse ones; check that the capture has its trade stream"
            )
            return Measured(self._fitted(rows), rows.points(self._per_tick), (note,) if silent else ())
        reach = self.reach(start_us, end_us)
        measured = [self.marks[day].between(begin_us, stop_us, reach=reach) for day, begin_us, stop_us in parts]
        sweeps, counted = (sum(getattr(part.counts, name) for part in measured) for name in ("sweeps", "counted"))
        notes = []
        if counted < 0.75 * sweeps:
            share = f"{100 * (1 - counted / sweeps):.0f} % of {sweeps}"
            notes.append(f"{share} aggressive orders traded inside the best price of the book before them")
        cells, cumulative = ([getattr(part, name) for part in measured] for name in ("cells", "cumulative"))
        return Measured(joined(cells, first), joined(cumulative, first), tuple(notes))

    def by_run(self, start_us: int, end_us: int) -> dict[str, Points]:
        known = self.known_at(end_us)
        rows = known._rows(known.parts(start_us, end_us))
        return {name: known._late(rows.where(rows.run == number)) for number, name in enumerate(known.played)}

    @property
    def ladders(self) -> int:
        return len(self.played) if self.config.method == "ladder" else 1

    def day_orders(self, day: int) -> DayOrders:
        if day not in self._orders:
            orders = [run.resting for run in self.played.values()]
            self._orders[day] = DayOrders(orders, self.marks[day].path, self._spans[day])
        return self._orders[day]

    def _rows(self, parts: Sequence[tuple[int, int, int]]) -> OrderRows:
        orders = [self.day_orders(day).between(begin_us, stop_us) for day, begin_us, stop_us in parts]
        return OrderRows.joined(orders, first_blocks(parts))

    def _fitted(self, rows: OrderRows) -> Points:
        points, ladders = self._late(rows), self.ladders
        if ladders == 1:
            return points
        return replace(points, exposure_s=points.exposure_s / ladders, fills=points.fills / ladders)

    @property
    def _per_tick(self) -> int:
        return PER_TICK[self.config.reference]

    def _late(self, rows: OrderRows) -> Points:
        points = rows.points(self._per_tick)
        if self.config.fills is None:
            return points
        near = min(self.config.distances)
        if self.config.method != "ladder":
            own = list(self.played).index(f"delta_{near:g}")
            kept = (points.delta_ticks >= near) | (rows.run == own)
            points = points.where(kept)
        return replace(points, delta_ticks=np.maximum(points.delta_ticks, near))

    def length_s(self, start_us: int, end_us: int) -> float:
        """The last day counts fully, the earlier ones by whole blocks."""
        parts = self.parts(start_us, end_us)
        return first_blocks(parts)[-1] * BLOCK_S + (parts[-1][2] - parts[-1][1]) / US_PER_S

    def reach(self, start_us: int, end_us: int) -> float:
        if self.config.max_delta_ticks is not None:
            return self.config.max_delta_ticks
        span = start_us, end_us
        if span not in self._reaches:
            known = self.known_at(end_us)
            swept = [tally for part in known.parts(*span) for tally in known.marks.depths(*part)]
            self._reaches[span] = reach_of(swept, PER_TICK[self.config.reference])
        return self._reaches[span]

    def sigma_ticks(self, start_us: int, end_us: int) -> float | None:
        known = self.known_at(end_us)
        return sigma_of([known.marks.moves(*part) for part in known.parts(start_us, end_us)])

    def half_spread_ticks(self, start_us: int, end_us: int) -> float | None:
        known = self.known_at(end_us)
        times = [known.marks.spread_time(*part) for part in known.parts(start_us, end_us)]
        ticks, seconds = map(sum, zip(*times, strict=True))
        return 0.5 * ticks / seconds if seconds > 0 else None

    def points(self, start_us: int, end_us: int) -> Points:
        if self.config.method == "marks":
            return self.marked(start_us, end_us)
        known = self.known_at(end_us)
        return known._fitted(known._rows(known.parts(start_us, end_us)))

    def marked(self, start_us: int, end_us: int) -> Points:
        known, reach = self.known_at(end_us), self.reach(start_us, end_us)
        parts = known.parts(start_us, end_us)
        return joined([known.marks.points(*part, reach) for part in parts], first_blocks(parts))

    def fit_points(self, points: Points) -> PoissonFit:
        """Points of several ladders weigh like one ladder, since they share a tape.

        The errors are by blocks, which measure how much the mean of the ladders varies. Counts and seconds are sums
        over all ladders, as in ``calibration_points.csv``.
        """
        ladders, options = self.ladders, asdict(self._options(self.ladders))
        fit = fit_poisson(points, **options).times(ladders)
        if ladders == 1:
            return fit
        alone = [with_block_errors(fit_poisson(points.where(points.side == side), **options)) for side in (1, -1)]
        bid, ask = (
            replace(side, se_logA=own.se_logA, se_k=own.se_k) if own.A is not None else side
            for side, own in zip((fit.sides.bid, fit.sides.ask), alone, strict=True)
        )
        return replace(with_block_errors(fit), sides=Sides(bid=bid, ask=ask))

    def fit_window(self, points: Points) -> PoissonFit:
        ladders, options = self.ladders, self._options(self.ladders)
        fit = fit_window(points, replace(options, intervals="block")).times(ladders)
        return fit if fit.by_blocks or not fit.usable else fit_window(points, options).times(ladders)

    def fit_alone(self, start_us: int, end_us: int) -> PoissonFit:
        return self.fit_window(self.points(start_us, end_us))

    def steadiness(self) -> list[tuple[int, int, PoissonFit]]:
        """Return equal pieces of the data, start and end in µs, each fitted alone."""
        pieces = equal_pieces(self.start_us, self.end_us)
        return [(start_us, end_us, self.fit_alone(start_us, end_us)) for start_us, end_us in pieces]

    def fit_single(self, points: Points) -> PoissonFit:
        return fit_poisson(points, **asdict(replace(self._options(1), intervals="profile")))

    def _options(self, ladders: int) -> FitOptions:
        config = self.config
        return FitOptions(
            fit_method=config.fit_method,
            min_exposure_s=config.min_exposure_s / ladders,
            min_usable_deltas=config.min_usable_deltas,
            max_delta_ticks=config.max_delta_ticks,
            intervals="block" if config.method == "fixed" or ladders > 1 else "profile",
        )

    def fit(self, start_us: int, end_us: int) -> tuple[PoissonFit, Measured]:
        measured = self.between(start_us, end_us)
        fit = self.fit_points(measured.fitted)
        if self.config.fills is not None:
            fit = replace(fit, measured_rates=pooled_rates(measured.fitted))
        described = replace(
            fit,
            symbol=self.tapes[0].symbol,
            day=self.day,
            method=self.config.method,
            tick_size=self.tapes[0].instrument.tick_e8 / E8,
            window=FittedWindow(start_us=start_us, end_us=end_us),
            hit=self.config.rule.hit if self.config.fills is None else None,
            calib_fills=self.fills_name,
            calib_fill_params=None if self.config.fills is None else self.config.fills.params,
            calib_order_qty=self.order_qty,
            reference=self.config.reference,
            sigma_ticks=self.sigma_ticks(start_us, end_us),
            half_spread_ticks=self.half_spread_ticks(start_us, end_us),
            predictive_ci95=predictive_ci95(measured.fitted, HORIZON_S),
            predictive_horizon_s=HORIZON_S,
            warnings=(*fit.warnings, *measured.notes),
        )
        return described, measured


def first_blocks(stretches: Iterable[Sequence[int]]) -> list[int]:
    lengths = [-((start_us - end_us) // BLOCK_US) for *_, start_us, end_us in stretches]
    return [0, *accumulate(lengths[:-1])]
