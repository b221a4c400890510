"""Clustering of a schedule: one Hawkes process for all segments, and its mean over the training data of each.

Excitation changes slowly, so the process is fitted once, to the first training window, which precedes every segment.
Market activity changes with the hour, which A already covers. So the fill rate of a segment is that of A and k when the
intensity of the process is at its mean over the training data of that A, with the same weights.

The means use receive times, as fills do: exchange times would need the median delay of the day, which is known only at
its end.
"""

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.fills.clustering import Clustering
from mm.backtest.metrics.json_values import finite
from mm.calibration._hawkes import BEGIN, END, PROBE, integrals
from mm.calibration.hawkes import fit_hawkes, flow_of, sweeps_of
from mm.calibration.points import Floats, Ints
from mm.calibration.reference import BLOCK_US, span_of
from mm.calibration.windows import WEIGHING, WindowPlan, weights_of
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator

Memory = Callable[..., Any]  # like `Checkpoint.value`: takes a name and a function that makes the value


class WindowClustering:
    """The process of the first training window of a plan, and its means over all training windows.

    Attributes:
        block: The process in the form of `HawkesFit.to_json`, or why there is none; None if the plan has no window.
    """

    def __init__(
        self, calibrator: "Calibrator", plan: WindowPlan, memory: Memory = lambda _, make, *__: make()
    ) -> None:
        """Fit the process.

        Args:
            calibrator: Measures the days.
            plan: Its windows.
            memory: Returns the stored value of a name, or else the result of the function.
        """
        self._calibrator, self._plan = calibrator, plan
        windows = plan.over(calibrator.days)
        self._cuts = np.unique([us for window in windows for us in (window.train_start_us, window.train_end_us)])
        self._days: list[tuple[Ints, Floats]] = []  # per day: instants in µs, and the integrals up to them
        self._process: Clustering | None = None
        self.block: dict[str, Any] | None = None
        if not windows:
            return
        until_us = windows[0].train_end_us
        tapes, grouped = calibrator.known_at(until_us).tapes, calibrator.config.rule.grouped
        self.block = memory("clustering", lambda: finite(fit_hawkes(flow_of(tapes, grouped, until_us)).to_json()))
        if self.block["status"] == "ok":
            self._process = Clustering.of(self.block)
            self._begin()

    def mean(self, start_us: int, end_us: int) -> tuple[float, float] | None:
        """Return the mean intensity of orders that hit bids, and asks, over a training window, in 1/s.

        It has the weights of A in the plan's mode. For a window without a valid book it is that of the first window;
        None without a process.
        """
        process, plan, calibrator = self._process, self._plan, self._calibrator.known_at(end_us)
        if process is None or not process.kernels:
            return process and process.mu
        if calibrator is not self._calibrator:
            return self._with(calibrator).mean(start_us, end_us)
        weighing, increments = plan.mode in WEIGHING, []
        for day, begin_us, stop_us in calibrator.parts(start_us, end_us):
            begins = np.arange(begin_us, stop_us, BLOCK_US) if weighing else np.array([begin_us])
            instants, found = self._integrals(process, day)
            increments.append(np.diff(found[np.searchsorted(instants, np.append(begins, stop_us))], axis=0))
        total = np.concatenate(increments)
        if weighing:
            length_s = calibrator.length_s(start_us, end_us)
            total *= weights_of(np.arange(len(total)), length_s, plan.half_life_min)[:, None]
        bid, ask, exposed_s = total.sum(axis=0).tolist()
        return (bid / exposed_s, ask / exposed_s) if exposed_s > 0 else process.mean

    def _with(self, calibrator: "Calibrator") -> "WindowClustering":
        """Return the means of the same process over the days of another calibrator."""
        other = copy(self)
        other._calibrator, other._days = calibrator, []
        other._begin()
        return other

    def _begin(self) -> None:
        """Reset the excitation by the orders of the days so far, and its instant."""
        self._excited, self._since_s = np.zeros((2, len(self._process.kernels if self._process else ()))), 0.0

    def _integrals(self, process: Clustering, day: int) -> tuple[Ints, Floats]:
        """Return the instants of a day at which windows or their blocks begin and end, and the integrals up to them."""
        branching = np.ascontiguousarray(np.moveaxis(np.array([kernel.branching for kernel in process.kernels]), 0, 2))
        betas = np.array([kernel.beta for kernel in process.kernels])
        while len(self._days) <= day:
            at_s, kind, instants = self._rows(len(self._days))
            found = integrals(at_s, kind, np.array(process.mu), branching, betas, self._excited, self._since_s)
            self._since_s = max([self._since_s, *at_s[kind < PROBE][-1:].tolist()])
            self._days.append((instants, found))
        return self._days[day]

    def _rows(self, day: int) -> "tuple[Floats, Any, Ints]":
        """Return the input rows of `integrals` for a day, and the instants of its probes."""
        calibrator, tape = self._calibrator, self._calibrator.tapes[day]
        start_us, end_us = span_of(tape)
        grid = np.arange(start_us, end_us, BLOCK_US if self._plan.mode in WEIGHING else end_us)
        inside = self._cuts[(self._cuts > start_us) & (self._cuts < end_us)]
        instants = np.unique(np.concatenate((grid, inside, [start_us, end_us])))
        orders, spans, _ = sweeps_of(tape, calibrator.config.rule.grouped, received=True)
        columns = (*orders, spans[:, 0], spans[:, 1], instants)
        at_us = np.concatenate(columns)
        kind = np.repeat(np.array([0, 1, BEGIN, END, PROBE], np.int8), [column.size for column in columns])
        order = np.lexsort((np.array([2, 2, 1, 0, 3])[kind], at_us))  # ends before begins
        return (at_us[order] - calibrator.start_us) / US_PER_S, kind[order], instants
