"""Clustering of a schedule: one Hawkes process for all segments, and its mean over the training data of each."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.fills.clustering import Clustering
from mm.backtest.metrics.json_values import finite
from mm.base.arrays import Floats, Ints
from mm.calibration._hawkes import BEGIN, END, PROBE, rescaled
from mm.calibration.hawkes import fit_hawkes, flow_of, sweeps_of
from mm.calibration.reference import BLOCK_US, span_of
from mm.calibration.windows import WEIGHING, WindowPlan, weights_of
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator
    from mm.tape.tape import Tape

Memory = Callable[..., Any]  # like `Checkpoint.value`: takes a name and a function that makes the value


class WindowClustering:
    """The process of the first training window, and its means over all windows."""

    def __init__(
        self, calibrator: "Calibrator", plan: WindowPlan, memory: Memory = lambda _, make, *__: make()
    ) -> None:
        self._calibrator, self._plan = calibrator, plan
        windows = plan.over(calibrator.days)
        self._cuts = np.unique([us for window in windows for us in (window.train_start_us, window.train_end_us)])
        self._process: Clustering | None = None
        self.block: dict[str, Any] | None = None
        if not windows:
            return
        until_us = windows[0].train_end_us
        tapes, grouped = calibrator.known_at(until_us).tapes, calibrator.config.rule.grouped
        self.block = memory("clustering", lambda: finite(fit_hawkes(flow_of(tapes, grouped, until_us)).to_json()))
        if self.block["status"] == "ok":
            self._process = Clustering.of(self.block)

    def mean(self, start_us: int, end_us: int) -> tuple[float, float] | None:
        """Mean intensity (1/s) of orders that hit bids, and asks, over a training window.

        It has A's weights in the plan's mode; without a valid book it is the first window's; None without a process.
        """
        process, plan, calibrator = self._process, self._plan, self._calibrator.known_at(end_us)
        if process is None or not process.kernels:
            return process and process.mu
        own = calibrator is self._calibrator
        instants, reached = self._reached if own else self._reached_in(process, calibrator)
        weighing, increments = plan.mode in WEIGHING, []
        for _, begin_us, stop_us in calibrator.parts(start_us, end_us):
            begins = np.arange(begin_us, stop_us, BLOCK_US) if weighing else np.array([begin_us])
            increments.append(np.diff(reached[np.searchsorted(instants, np.append(begins, stop_us))], axis=0))
        total = np.concatenate(increments)
        if weighing:
            length_s = calibrator.length_s(start_us, end_us)
            total *= weights_of(np.arange(len(total)), length_s, plan.half_life_min)[:, None]
        bid, ask, exposed_s = total.sum(axis=0).tolist()
        return (bid / exposed_s, ask / exposed_s) if exposed_s > 0 else process.mean

    @cached_property
    def _reached(self) -> tuple[Ints, Floats]:
        assert self._process is not None
        return self._reached_in(self._process, self._calibrator)

    def _reached_in(self, process: Clustering, calibrator: "Calibrator") -> tuple[Ints, Floats]:
        rows = [self._rows(tape, calibrator.config.rule.grouped) for tape in calibrator.tapes]
        at_us, kind = map(np.concatenate, zip(*rows, strict=True))
        at_s = (at_us - calibrator.start_us) / US_PER_S
        branching = np.ascontiguousarray(np.moveaxis(np.array([kernel.branching for kernel in process.kernels]), 0, 2))
        betas = np.array([kernel.beta for kernel in process.kernels])
        clock = rescaled(at_s, kind, np.array(process.mu), branching, betas)
        exposed = np.cumsum((kind == BEGIN).astype(np.int64) - (kind == END)) > 0
        exposed_s = np.append(0.0, np.cumsum(np.diff(at_s) * exposed[:-1]))
        probe = kind == PROBE
        return at_us[probe], np.column_stack((clock[probe], exposed_s[probe]))

    def _rows(self, tape: "Tape", grouped: bool) -> tuple[Ints, Any]:
        start_us, end_us = span_of(tape)
        grid = np.arange(start_us, end_us, BLOCK_US if self._plan.mode in WEIGHING else end_us)
        inside = self._cuts[(self._cuts > start_us) & (self._cuts < end_us)]
        instants = np.unique(np.concatenate((grid, inside, [start_us, end_us])))
        orders, spans, _ = sweeps_of(tape, grouped, received=True)
        columns = (*orders, spans[:, 0], spans[:, 1], instants)
        at_us = np.concatenate(columns)
        kind = np.repeat(np.array([0, 1, BEGIN, END, PROBE], np.int8), [column.size for column in columns])
        order = np.lexsort((np.array([2, 2, 1, 0, 3])[kind], at_us))  # ends before begins
        return at_us[order], kind[order]
