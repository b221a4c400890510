"""Clustering of aggressive orders as a Hawkes process: orders excite further ones, on both sides.

The intensities of orders that hit bids (0) and asks (1) are in `mm.calibration._hawkes` (Hawkes, Spectra of some
self-exciting and mutually exciting point processes, Biometrika 58, 1971). The branching ratio, the largest eigenvalue
of n_ij = sum over m of n_ijm, is the share of orders excited by others. The fit is by maximum likelihood, with Newton
steps in the logarithms of all parameters; the lowest BIC gives the number of kernels (0: Poisson flow). Under the
model, the integrated intensities between a side's consecutive orders are exponential with mean 1 (time-rescaling
theorem); their Kolmogorov-Smirnov distance tests this.

An order is a sweep. Times are the exchange's, shifted by the day's median delay, so that a batch of messages is no
cluster; without them, receive times. Only time with a valid book is exposure; orders outside it excite others, but are
not predicted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arrays import Floats, Ints, Mask
from mm.base.estimate import from_error
from mm.calibration._hawkes import BEGIN, END, likelihood, rescaled
from mm.calibration.goodness import uniformity
from mm.calibration.reference import book_spans
from mm.calibration.sweeps import begins
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Bytes = NDArray[np.int8]

NAMES = ("bid", "ask")
FEWEST = 100  # minimum number of counted sweeps per side
MOST_EVENTS = 10_000  # maximum number of counted orders; above it, evenly spaced spans with about this number
STRETCHES = 8
KERNELS = 4  # maximum number
LEAST, GREATEST = -18.0, math.log(1000.0)  # bounds of the logarithm of any parameter; stamps have a resolution of 1 ms
STARTS = (100.0, 5.0, 0.3, 0.01)  # 1/s
ZERO = 1e-5  # number of excited orders that counts as no effect


@dataclass(frozen=True)
class Excitation:
    """The parameters of two mutually exciting processes, bids (0) and asks (1).

    Attributes:
        mu: float64[2], baseline rate, 1/s.
        branching: float64[2, 2, m], mean number of orders of i excited by one of j through the kernel m.
        beta: float64[m], decay rates of the kernels, 1/s, the fastest first; empty for Poisson flow.
    """

    mu: Floats
    branching: Floats
    beta: Floats

    @property
    def matrix(self) -> Floats:
        matrix: Floats = self.branching.sum(axis=2)
        return matrix

    @property
    def ratio(self) -> float:
        """The largest eigenvalue of the branching matrix; from 1 on the flow is not stationary."""
        return float(np.abs(np.linalg.eigvals(self.matrix)).max())

    @property
    def half_life_s(self) -> float:
        """Half-life (s) of the rates' slowest return to their means; 0 for Poisson flow, infinite without a return.

        It exceeds any kernel's, as excited orders excite again: the slowest mode of dx_jm/dt = -beta_m x_jm + lambda_j,
        with lambda_j = sum over n_jkl beta_l x_kl.
        """
        kernels = self.beta.size
        if not kernels:
            return 0.0
        fed = np.repeat((self.branching * self.beta).reshape(2, -1), kernels, axis=0)  # rows j·m, columns k·l
        modes = np.linalg.eigvals(fed - np.diag(np.tile(self.beta, 2)))
        slowest = -float(modes.real.max())
        return math.log(2) / slowest if slowest > 0 else math.inf

    @property
    def logs(self) -> Floats:
        values = np.concatenate((self.mu, self.branching.ravel(), self.beta))
        return np.clip(np.log(np.maximum(values, 1e-300)), LEAST, GREATEST)

    @classmethod
    def of_logs(cls, logs: Floats) -> "Excitation":
        values, kernels = np.exp(logs), (logs.size - 2) // 5
        return cls(values[:2], values[2 : 2 + 4 * kernels].reshape(2, 2, kernels), values[2 + 4 * kernels :])


@dataclass(frozen=True)
class ArrivalFlow:
    at_s: Floats
    kind: "Bytes"
    clock: str = "exchange"
    sweeps: bool = True

    @classmethod
    def of(
        cls, orders: Sequence[Floats], spans: Floats, clock: str = "exchange", *, sweeps: bool = True
    ) -> "ArrivalFlow":
        at = np.concatenate((*orders, spans[:, 0], spans[:, 1]))
        sizes = (orders[0].size, orders[1].size, len(spans), len(spans))
        kind = np.repeat(np.array([0, 1, BEGIN, END], np.int8), sizes)
        # at one instant: ends, begins, then orders; an order at the end of a span is outside of it
        order = np.lexsort((np.array([2, 2, 1, 0])[kind], at))
        return cls(at[order], kind[order], clock, sweeps)

    @property
    def counted(self) -> Mask:
        exposed = np.cumsum((self.kind == BEGIN).astype(int) - (self.kind == END).astype(int)) > 0
        counted: Mask = exposed & (self.kind < BEGIN)
        return counted

    @property
    def exposure_s(self) -> float:
        return float(self.at_s[self.kind == END].sum() - self.at_s[self.kind == BEGIN].sum())

    @property
    def events(self) -> tuple[int, int]:
        kinds = self.kind[self.counted]
        return int((kinds == 0).sum()), int((kinds == 1).sum())

    def waits(self, law: Excitation) -> list[Floats]:
        counted = self.counted
        if not law.beta.size:
            law = Excitation(law.mu, np.zeros((2, 2, 1)), np.ones(1))
        clock = rescaled(self.at_s, self.kind, law.mu, np.ascontiguousarray(law.branching), law.beta)
        return [np.diff(clock[counted & (self.kind == side), side], prepend=0.0) for side in (0, 1)]

    def mean_of(self, law: Excitation) -> tuple[float, float]:
        if not law.beta.size:
            return float(law.mu[0]), float(law.mu[1])
        clock = rescaled(self.at_s, self.kind, law.mu, np.ascontiguousarray(law.branching), law.beta)
        bid, ask = (clock[-1] / self.exposure_s).tolist()
        return bid, ask

    def thinned(self) -> "ArrivalFlow":
        rows = np.flatnonzero(self.counted)
        if rows.size <= MOST_EVENTS:
            return self
        each, begins_at = MOST_EVENTS // STRETCHES, np.linspace(0, rows.size - 1 - MOST_EVENTS // STRETCHES, STRETCHES)
        kept, parts = np.zeros(self.at_s.size, bool), []
        spans = np.column_stack((self.at_s[self.kind == BEGIN], self.at_s[self.kind == END]))
        for first in begins_at.astype(int):
            from_s, to_s = self.at_s[rows[first]], self.at_s[rows[first + each]]
            inside = np.column_stack((np.maximum(spans[:, 0], from_s), np.minimum(spans[:, 1], to_s)))
            parts.append(inside[inside[:, 1] > inside[:, 0]])
            kept |= (self.at_s >= 2 * from_s - to_s) & (self.at_s < to_s) & (self.kind < BEGIN)
        orders = [self.at_s[kept & (self.kind == side)] for side in (0, 1)]
        return ArrivalFlow.of(orders, np.concatenate(parts), self.clock, sweeps=self.sweeps)


def flow_of(tapes: "Sequence[Tape]", grouped: bool, until_us: int | None = None) -> ArrivalFlow:
    days = [sweeps_of(tape, grouped, until_us) for tape in tapes if until_us is None or tape.start_us < until_us]
    zero_us = tapes[0].start_us
    orders = [(np.concatenate([day[0][side] for day in days]) - zero_us) / US_PER_S for side in (0, 1)]
    spans = (np.concatenate([day[1] for day in days]) - zero_us) / US_PER_S
    return ArrivalFlow.of(orders, spans, "exchange" if all(day[2] for day in days) else "receive", sweeps=grouped)


def sweeps_of(
    tape: "Tape", grouped: bool, until_us: int | None = None, *, received: bool = False
) -> tuple[list[Ints], Ints, bool]:
    """A day's sweeps per side, the spans with a valid book (µs), and whether times are the exchange's.

    *received* forces receive times.
    """
    spans = book_spans(tape, tape.end_us if until_us is None else min(until_us, tape.end_us))
    inside = tape.event_us[tape.trades] >= tape.start_us
    if until_us is not None:
        inside &= tape.event_us[tape.trades] < until_us
    trades, aggressor = tape.trades[inside], tape.trade_side[inside]
    stamp, us = tape.event_exch_us[trades], tape.event_us[trades]
    stamped = not received and bool((stamp > 0).all()) and stamp.size > 0
    at = stamp + int(np.median(us - stamp)) if stamped else us
    sweeps = []
    for side in (1, -1):
        mine = aggressor == -side
        first = begins(stamp[mine]) if grouped else np.ones(int(mine.sum()), bool)
        sweeps.append(np.sort(at[mine][first]))
    return sweeps, spans, stamped


@dataclass(frozen=True)
class HawkesFit:
    """The best fit of the excitation to a flow, with errors and tests.

    Attributes:
        status: ``ok``; ``few_events`` (fewer than ``FEWEST`` per side) and ``no_exposure`` have no numbers;
            ``not_stationary`` (branching ratio of 1 or more) has numbers for description, not prediction.
        se: Standard errors; NaN at a bound.
        ks: Kolmogorov-Smirnov distance of each side's rescaled waits.
        ks_p: p-value, biased towards a good fit since the parameters are from the same data.
    """

    status: str
    reason: str
    law: Excitation | None
    se: Excitation | None
    se_ratio: float | None
    loglik: float | None
    gain: float | None
    bic: tuple[float, ...]
    ks: tuple[float, float] | None
    ks_p: tuple[float, float] | None
    ks_poisson: tuple[float, float] | None
    events: tuple[int, int]
    exposure_s: float
    clock: str
    sweeps: bool
    mean: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        head: dict[str, Any] = {"status": self.status, "reason": self.reason}
        tail: dict[str, Any] = {
            "n_events": dict(zip(NAMES, self.events, strict=True)), "exposure_s": self.exposure_s, "clock": self.clock,
            "sweeps": self.sweeps,
        }  # fmt: skip
        if self.law is None or self.se is None or self.mean is None:
            return head | {"branching_ratio": None, "se_branching_ratio": None} | tail
        law, se = self.law, self.se
        return (
            head
            | {
                "branching_ratio": law.ratio,
                "se_branching_ratio": self.se_ratio,
                "slowest_half_life_s": law.half_life_s if math.isfinite(law.half_life_s) else None,
                "mu_per_s": _by_side(law.mu),
                "se_mu_per_s": _by_side(se.mu),
                "mean_per_s": _by_side(self.mean),
                "branching": _matrix(law.matrix),
                "kernels": [
                    {
                        "beta_per_s": float(law.beta[m]),
                        "se_beta_per_s": float(se.beta[m]),
                        "half_life_s": math.log(2) / float(law.beta[m]),
                        "branching": _matrix(law.branching[:, :, m]),
                        "se_branching": _matrix(se.branching[:, :, m]),
                        "alpha_per_s": _matrix(law.branching[:, :, m] * law.beta[m]),
                    }
                    for m in range(law.beta.size)
                ],
                "loglik": self.loglik,
                "gain_nats_per_event": self.gain,
                "bic_by_kernels": list(self.bic),
                **{
                    name: None if pair is None else _by_side(pair)
                    for name, pair in (("ks", self.ks), ("ks_p", self.ks_p), ("ks_poisson", self.ks_poisson))
                },
            }
            | tail
        )

    def __str__(self) -> str:
        return sentence(self.to_json())


def sentence(block: Mapping[str, Any]) -> str:
    status, reason = block["status"], block["reason"]
    if block["branching_ratio"] is None:
        return f"clustering: not fitted ({status}: {reason})"
    ks, ks_poisson = (max(block[name].values()) for name in ("ks", "ks_poisson"))
    if not block["kernels"]:
        return (
            f"aggressive orders arrive independently: no excitation fits better than Poisson flow, "
            f"Kolmogorov-Smirnov distance of the waits {ks:.3f}"
        )
    found = from_error(block["branching_ratio"], block["se_branching_ratio"], sum(block["n_events"].values()))
    error = "" if found.low is None else f" ± {block['branching_ratio'] - found.low:.2g}"
    half_lives = ", ".join(_seconds(kernel["half_life_s"]) for kernel in block["kernels"])
    end = "" if status == "ok" else f"; {status}: {reason}"
    return (
        f"aggressive orders excite each other: branching ratio {block['branching_ratio']:.2f}{error}, "
        f"half-lives {half_lives}; Kolmogorov-Smirnov distance of the rescaled waits {ks:.3f}, of "
        f"Poisson flow {ks_poisson:.3f}{end}"
    )


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _by_side(pair: Sequence[float] | Floats) -> dict[str, float]:
    return {name: float(value) for name, value in zip(NAMES, pair, strict=True)}


def _matrix(values: Floats) -> dict[str, dict[str, float]]:
    return {name: _by_side(row) for name, row in zip(NAMES, values, strict=True)}


def fit_hawkes(flow: ArrivalFlow) -> HawkesFit:
    """Choose the number of exponential kernels by BIC, at most ``KERNELS``; many orders are `thinned`."""
    whole, flow = flow, flow.thinned()
    events, exposure_s = flow.events, flow.exposure_s
    if exposure_s <= 0:
        return _none("no_exposure", "no time with a valid book", flow)
    if min(events) < FEWEST:
        return _none("few_events", f"{events[0]} orders hit bids and {events[1]} asks, {FEWEST} each are needed", flow)
    poisson = Excitation(np.array(events) / exposure_s, np.zeros((2, 2, 0)), np.empty(0))
    loglik = float(sum(count * math.log(rate) - count for count, rate in zip(events, poisson.mu.tolist(), strict=True)))
    tried = [(poisson, loglik)]
    scale = math.log(sum(events))
    for _ in range(KERNELS):
        tried.append(_with_one_more(flow, tried[-1][0]))
        if _bic(*tried[-1], scale) > _bic(*tried[-2], scale):
            break
    bic = tuple(_bic(law, loglik, scale) for law, loglik in tried)
    chosen = int(np.argmin(bic))
    return _judged(flow, tried[chosen], tried[0], bic, whole.mean_of(tried[chosen][0]))


def _bic(law: Excitation, loglik: float, scale: float) -> float:
    return -2 * loglik + law.logs.size * scale


def _none(status: str, reason: str, flow: ArrivalFlow) -> HawkesFit:
    nothing = (None,) * 5
    flow_fields = (flow.events, flow.exposure_s, flow.clock, flow.sweeps)
    return HawkesFit(status, reason, *nothing, (), None, None, None, *flow_fields, None)


def _with_one_more(flow: ArrivalFlow, law: Excitation) -> tuple[Excitation, float]:
    if law.beta.size:
        logs = np.sort(np.log(law.beta))
        betas = np.exp(np.concatenate((logs[:1] - 2.5, (logs[1:] + logs[:-1]) / 2, logs[-1:] + 1.5)))
    else:
        betas = np.array(STARTS)
    trials = []
    for beta in betas.tolist():
        extended = Excitation(
            law.mu * 0.8,
            np.concatenate((0.9 * law.branching, np.full((2, 2, 1), 0.1 if law.beta.size else 0.2)), axis=2),
            np.append(law.beta, beta),
        )
        trials.append(_climbed(flow, extended.logs, 8))
    best, _ = max(trials, key=lambda trial: trial[1])
    logs, loglik = _climbed(flow, best, 200)
    excitation = Excitation.of_logs(logs)
    order = np.argsort(-excitation.beta)
    return Excitation(
        excitation.mu, np.ascontiguousarray(excitation.branching[:, :, order]), excitation.beta[order]
    ), loglik


def _climbed(flow: ArrivalFlow, logs: Floats, steps: int) -> tuple[Floats, float]:
    """Take at most *steps* Newton steps from *logs*; return also the log-likelihood.

    A step divides the gradient by the absolute curvature in each direction, to leave saddle points. It is at most 2 in
    any logarithm, halved until the likelihood increases. A parameter at a bound is fixed if the gradient points beyond
    it.
    """
    current = _slopes(flow, logs)
    for _ in range(steps):
        value, slope, hessian = current
        held = ((logs <= LEAST) & (slope < 0)) | ((logs >= GREATEST) & (slope > 0))
        free = np.flatnonzero(~held)
        curvatures, directions = np.linalg.eigh(hessian[np.ix_(free, free)])
        along = directions.T @ slope[free]
        step = np.zeros(logs.size)
        step[free] = directions @ (along / np.maximum(np.abs(curvatures), 1e-6))
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if float(slope @ step) < 1e-9:
            break
        while True:
            ahead = np.clip(logs + step, LEAST, GREATEST)
            candidate = _slopes(flow, ahead)
            if candidate[0] > value or float(np.abs(step).max()) < 1e-10:
                break
            step = step / 2
        if candidate[0] <= value:
            break
        logs, current = ahead, candidate
    return logs, current[0]


def _slopes(flow: ArrivalFlow, logs: Floats) -> tuple[float, Floats, Floats]:
    law = Excitation.of_logs(logs)
    value, slope, bend = likelihood(flow.at_s, flow.kind, law.mu, law.branching, law.beta)
    factor = np.ones(logs.size)  # the kernel's derivatives are with respect to mu, n and ln beta
    factor[: -law.beta.size] = np.exp(logs[: -law.beta.size])
    gradient = slope * factor
    hessian = bend * np.outer(factor, factor)
    at = np.arange(logs.size - law.beta.size)
    hessian[at, at] += gradient[at]
    return value, gradient, hessian


def _judged(
    flow: ArrivalFlow,
    best: tuple[Excitation, float],
    poisson: tuple[Excitation, float],
    bic: tuple[float, ...],
    mean: tuple[float, float],
) -> HawkesFit:
    law, loglik = best
    se, se_ratio = _errors(flow, law)
    tests, plain = ([uniformity(waits) for waits in flow.waits(tested)] for tested in (law, poisson[0]))
    explosive = law.ratio >= 1
    return HawkesFit(
        status="not_stationary" if explosive else "ok",
        reason=f"the branching ratio is {law.ratio:.3f}: the flow grew during the observation" if explosive else "",
        law=law, se=se, se_ratio=se_ratio, loglik=loglik,
        gain=(loglik - poisson[1]) / sum(flow.events), bic=bic,
        ks=(tests[0].ks or 0.0, tests[1].ks or 0.0), ks_p=(tests[0].p or 0.0, tests[1].p or 0.0),
        ks_poisson=(plain[0].ks or 0.0, plain[1].ks or 0.0),
        events=flow.events, exposure_s=flow.exposure_s, clock=flow.clock, sweeps=flow.sweeps, mean=mean,
    )  # fmt: skip


def _errors(flow: ArrivalFlow, law: Excitation) -> tuple[Excitation, float | None]:
    kernels = law.beta.size
    if not kernels:
        return Excitation(np.sqrt(law.mu / flow.exposure_s), law.branching, law.beta), None
    _, _, hessian = likelihood(flow.at_s, flow.kind, law.mu, law.branching, law.beta)
    values = np.exp(law.logs)
    free = values > ZERO
    free[2 + 4 * kernels :] = law.logs[2 + 4 * kernels :] < GREATEST
    covariance = np.full(hessian.shape, np.nan)
    covariance[np.ix_(free, free)] = np.linalg.pinv(-hessian[np.ix_(free, free)], hermitian=True)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diag(covariance))
    errors[2 + 4 * kernels :] *= law.beta  # from ln beta
    se = Excitation(errors[:2], errors[2 : 2 + 4 * kernels].reshape(2, 2, kernels), errors[2 + 4 * kernels :])
    # the derivative of an eigenvalue with respect to an entry is the product of its left and right eigenvectors
    values_, right = np.linalg.eig(law.matrix)
    top = int(np.abs(values_).argmax())
    left = np.linalg.eig(law.matrix.T)[1][:, int(np.abs(np.linalg.eig(law.matrix.T)[0]).argmax())]
    slope = np.real(np.outer(left, right[:, top]) / (left @ right[:, top]))
    full = np.zeros(hessian.shape[0])
    full[2 : 2 + 4 * kernels] = np.repeat(slope.ravel(), kernels)
    variance = float(full[free] @ covariance[np.ix_(free, free)] @ full[free])
    return se, math.sqrt(variance) if variance > 0 else None
