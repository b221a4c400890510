"""The scenarios by name: parameters, truth and order flow. docs/specification/exchange.md lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from math import ceil, exp, hypot, log
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.core import ParameterSource

from mm.base.knobs import Knob, decimal, integer, knob, knobs, number, shown
from mm.clock import US_PER_MS, US_PER_S
from mm.errors import UsageError, parameter
from mm.sim.flow.order_flow import MOST_MEAN_LOTS, Empty, Flow, Law, Lead, Scenario, series
from mm.sim.flow.session import CRASH, DISCONNECT, LOST_DEPTH, LOST_TRADES, STEP_US, RecordingFault, Session, plan

if TYPE_CHECKING:
    from mm.sim.flow.regular import RegularFlow
    from mm.sim.matching._core import Matching


LEAST_LEVELS = 100
MOST_LEVELS = 5_000  # the levels of one snapshot
SWEEPS_AT_EDGE = 1e-9
MOST_RATE = 100  # 1/s per side; more orders would not fit into separate milliseconds
MOST_EXCITED = 10  # orders excited by one order; more would not fit into separate milliseconds
RATE = number(0, MOST_RATE)
DECAY = number(0.001, 100)
SIGMA = number(0, 1000)
_EVENT_RATE = number(0, 100_000)
_QTY = decimal("0.00000001", "1000000")


@dataclass(frozen=True, kw_only=True)
class RegularMarket(Scenario):
    """A book with a level at every tick, and aggressive orders whose reach past the mid is exponential."""

    spread_ticks: int = knob(2, integer(1, 1000), "Spread, in ticks.")
    level_qty: str = knob(
        "10", decimal("0.00000001", "1000000"), "Mean quantity of a level of the book, in the base asset."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.on_grid("level_qty", "qty_step", MOST_MEAN_LOTS)

    def laws(self, session: Session) -> tuple[Law, ...]:
        """Return the laws in time order; the last has no end."""
        raise NotImplementedError

    def excitation(self) -> tuple[float, float, float]:
        return 0.0, 0.0, 1.0

    def levels(self, session: Session) -> int:
        """So many that practically no order of *session* reaches the edge of the book."""
        laws = self.laws(session)
        own, cross, _ = self.excitation()
        seconds = session.hours * 3600 / (1 - own - cross)
        orders = seconds * max(law.bid[0] + law.ask[0] for law in laws)
        decay = min(k for law in laws for _, k in (law.bid, law.ask))
        levels = max(LEAST_LEVELS, ceil(log(max(orders, 1.0) / SWEEPS_AT_EDGE) / decay))
        if levels > MOST_LEVELS:
            raise UsageError(
                "{k_per_tick} or {regime_k_per_tick} of {} per tick lets orders reach {} ticks deep, but a book has at "
                "most {} levels per side; set a larger k, or a larger {tick_size} with k scaled equally",
                decay,
                levels,
                MOST_LEVELS,
            )
        return levels

    def flow(self, matching: "Matching", session: Session) -> "RegularFlow":
        from mm.sim.flow.regular import RegularFlow

        instrument = self.instrument(session.symbol)
        best_bid = instrument.ticks(self.start_price) - (self.spread_ticks + 1) // 2
        book = (best_bid, self.spread_ticks, self.levels(session), instrument.lots(self.level_qty))
        clock = (session.open_us, session.flow_us[0], STEP_US)
        return RegularFlow(matching, clock, book, self.laws(session), self.excitation(), session.key)

    def truth(self, session: Session) -> dict[str, Any]:
        return super().truth(session) | {
            "half_spread_ticks": self.spread_ticks / 2,
            "levels_per_side": self.levels(session),
        }


@dataclass(frozen=True, kw_only=True)
class PoissonMarket(RegularMarket):
    """Orders of each side are a Poisson process, so that A and k are exact."""

    name: ClassVar[str] = "poisson"

    A_per_s: float = knob(0.8, RATE, "Aggressive orders per side, in 1/s.", flag="--A")
    k_per_tick: float = knob(0.35, DECAY, "Decay of the orders' reach past the mid, in 1/tick.", flag="--k")
    A_bid_per_s: float | None = knob(None, RATE, "A of the orders that hit bids; default: A.", flag="--A-bid")
    A_ask_per_s: float | None = knob(None, RATE, "A of the orders that hit asks; default: A.", flag="--A-ask")
    k_bid_per_tick: float | None = knob(None, DECAY, "k of the orders that hit bids; default: k.", flag="--k-bid")
    k_ask_per_tick: float | None = knob(None, DECAY, "k of the orders that hit asks; default: k.", flag="--k-ask")
    sigma_ticks_per_sqrt_s: float = knob(0.4, SIGMA, "Volatility of the mid, in ticks per √s.")

    def rate(self, side: int) -> tuple[float, float]:
        """A (1/s) and k (1/tick) of the orders that hit *side*."""
        A, k = (self.A_bid_per_s, self.k_bid_per_tick) if side > 0 else (self.A_ask_per_s, self.k_ask_per_tick)
        return self.A_per_s if A is None else A, self.k_per_tick if k is None else k

    def laws(self, session: Session) -> tuple[Law, ...]:  # noqa: ARG002 - one law for every session
        return (Law(0.0, self.sigma_ticks_per_sqrt_s, self.rate(1), self.rate(-1)),)

    def truth(self, session: Session) -> dict[str, Any]:
        """A and k are None if they differ between the sides."""
        return super().truth(session) | _one_law(self.sigma_ticks_per_sqrt_s, self.rate(1), self.rate(-1))


@dataclass(frozen=True, kw_only=True)
class FollowerMarket(PoissonMarket):
    """A ``poisson`` market whose mid also makes the moves of another such market, some time later."""

    name: ClassVar[str] = "follower"

    sigma_ticks_per_sqrt_s: float = knob(0.1, SIGMA, "Volatility of the mid, in ticks per √s.")
    lead_seed: int = knob(0, integer(0, 2**63 - 1), "Seed of the market that is followed, of scenario poisson.")
    lead_sigma: float = knob(0.4, SIGMA, "Its volatility (its SIGMA_TICKS_PER_SQRT_S), in ticks per √s.")
    lag_ms: int = knob(300, integer(0, 3_600_000), "Time by which its moves are followed, in ms; a multiple of 100.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lag_ms * US_PER_MS % STEP_US:
            raise UsageError("{lag_ms} is {}; the mid moves every 100 ms, so give a multiple of 100", self.lag_ms)

    def flow(self, matching: "Matching", session: Session) -> "RegularFlow":
        flow = super().flow(matching, session)
        key = replace(session, seed=self.lead_seed).key("mid")
        flow.follow(Lead(key, self.lag_ms * US_PER_MS, self.lead_sigma))
        return flow

    def truth(self, session: Session) -> dict[str, Any]:
        sigma = hypot(self.sigma_ticks_per_sqrt_s, self.lead_sigma)
        lead = {"seed": self.lead_seed, "lag_ms": self.lag_ms, "sigma_ticks_per_sqrt_s": self.lead_sigma}
        return super().truth(session) | {"sigma_ticks_per_sqrt_s": sigma, "lead": lead}


@dataclass(frozen=True, kw_only=True)
class Gaps(PoissonMarket):
    name: ClassVar[str] = "gaps"

    lost_depth: int = knob(2, integer(0, 1000), "Number of times that depth messages are lost.")
    lost_trades: int = knob(2, integer(0, 1000), "Number of times that trade messages are lost.")
    disconnects: int = knob(1, integer(0, 1000), "Number of times that the recorder's connection ends.")
    crashes: int = knob(1, integer(0, 1000), "Number of times that the recorder is killed during a write.")

    def faults(self, session: Session) -> tuple[RecordingFault, ...]:
        """Raises UsageError if the session is too short."""
        counts = {
            LOST_DEPTH: self.lost_depth, LOST_TRADES: self.lost_trades, DISCONNECT: self.disconnects,
            CRASH: self.crashes,
        }  # fmt: skip
        return plan(session, [kind for kind, count in counts.items() for _ in range(count)])


@dataclass(frozen=True, kw_only=True)
class HawkesMarket(RegularMarket):
    """Orders that trade excite further orders on both sides: Hawkes processes with an exponential kernel."""

    name: ClassVar[str] = "hawkes"

    mu_per_s: float = knob(0.32, RATE, "Rate of spontaneous orders per side, in 1/s.", flag="--mu")
    branching_ratio: float = knob(0.6, number(0, 0.99), "Further orders that each order excites on average.")
    cross_share: float = knob(0.0, number(0, 1), "Share of the excited orders that are on the other side.")
    beta_per_s: float = knob(2.0, number(0.001, 1000), "Decay of the excitation, in 1/s.", flag="--beta")
    k_per_tick: float = knob(0.35, DECAY, "Decay of the orders' reach past the mid, in 1/tick.", flag="--k")
    sigma_ticks_per_sqrt_s: float = knob(0.4, SIGMA, "Volatility of the mid, in ticks per √s.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean_rate() > MOST_RATE:
            raise UsageError(
                "{mu_per_s} {} and {branching_ratio} {} make {:g} orders per side in 1 s, but at most {} fit into "
                "separate milliseconds; lower one of them",
                self.mu_per_s,
                self.branching_ratio,
                self.mean_rate(),
                MOST_RATE,
            )
        if self.branching_ratio > MOST_EXCITED * self.reaching():
            raise UsageError(
                "{k_per_tick} {} and {spread_ticks} {}: a share of {:.2g} of the orders reaches the touch, and each of "
                "these excites {:.3g} orders, more than {}; lower one of them, or {branching_ratio}",
                self.k_per_tick,
                self.spread_ticks,
                self.reaching(),
                self.branching_ratio / self.reaching(),
                MOST_EXCITED,
            )

    def reaching(self) -> float:
        return exp(-self.k_per_tick * self.spread_ticks / 2)

    def mean_rate(self) -> float:
        return self.mu_per_s / (1 - self.branching_ratio)

    def laws(self, session: Session) -> tuple[Law, ...]:  # noqa: ARG002 - one law for every session
        spontaneous = (self.mu_per_s, self.k_per_tick)
        return (Law(0.0, self.sigma_ticks_per_sqrt_s, spontaneous, spontaneous),)

    def excitation(self) -> tuple[float, float, float]:
        cross = self.branching_ratio * self.cross_share
        return self.branching_ratio - cross, cross, self.beta_per_s

    def truth(self, session: Session) -> dict[str, Any]:
        """A is the mean rate; also the parameters of the process of all and of the trading orders."""
        law, (own, cross, _) = (self.mean_rate(), self.k_per_tick), self.excitation()
        process = {
            "mu_per_s": self.mu_per_s,
            "alpha_per_s": own * self.beta_per_s,
            "cross_alpha_per_s": cross * self.beta_per_s,
            "beta_per_s": self.beta_per_s,
            "branching_ratio": self.branching_ratio,
            "branching": {"bid": {"bid": own, "ask": cross}, "ask": {"bid": cross, "ask": own}},
            "mean_rate_per_s": self.mean_rate(),
            "traded": {
                "mu_per_s": self.mu_per_s * self.reaching(),
                "mean_rate_per_s": self.mean_rate() * self.reaching(),
            },
        }
        return super().truth(session) | _one_law(self.sigma_ticks_per_sqrt_s, law, law) | {"hawkes": process}


@dataclass(frozen=True, kw_only=True)
class Regimes(RegularMarket):
    """Volatility, A and k change at known times; each regime is a market like ``poisson``."""

    name: ClassVar[str] = "regimes"

    regime_s: float = knob(
        3600.0, number(1, 86_400), "Length of each regime, in s; after the last one the first begins again."
    )
    regime_A_per_s: tuple[float, ...] = knob(
        (0.8, 2.4), series(0, MOST_RATE), "A of each regime, in 1/s.", flag="--regime-A"
    )
    regime_k_per_tick: tuple[float, ...] = knob(
        (0.35, 0.2), series(0.001, 100), "k of each regime, in 1/tick.", flag="--regime-k"
    )
    regime_sigma: tuple[float, ...] = knob(
        (0.4, 1.2), series(0, 1000), "Volatility of each regime, in ticks per √s.", flag="--regime-sigma"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = [len(values) for values in (self.regime_A_per_s, self.regime_k_per_tick, self.regime_sigma)]
        if len(set(counts)) > 1:
            raise UsageError(
                "{regime_A_per_s}, {regime_k_per_tick} and {regime_sigma} have {}, {} and {} values; give each one "
                "value per regime",
                *counts,
            )

    def laws(self, session: Session) -> tuple[Law, ...]:
        laws, seconds = [], (session.flow_us[1] - session.flow_us[0]) / US_PER_S
        regimes = list(zip(self.regime_sigma, self.regime_A_per_s, self.regime_k_per_tick, strict=True))
        for nth in range(max(1, ceil(seconds / self.regime_s))):
            sigma, A, k = regimes[nth % len(regimes)]
            laws.append(Law(nth * self.regime_s, sigma, (A, k), (A, k)))
        return tuple(laws)

    def truth(self, session: Session) -> dict[str, Any]:
        first_us, end_us = session.flow_us
        laws = self.laws(session)
        starts = [first_us + round(law.start_s * US_PER_S) for law in laws]
        regimes = [
            {"start_us": start, "end_us": stop, "A": law.bid[0], "k": law.bid[1], "sigma_ticks_per_sqrt_s": law.sigma}
            for law, start, stop in zip(laws, starts, [*starts[1:], end_us], strict=True)
        ]
        return super().truth(session) | {"regimes": regimes}


def _one_law(sigma: float, bid: tuple[float, float], ask: tuple[float, float]) -> dict[str, Any]:
    one_decay = bid[1] == ask[1]
    return {
        "A": (bid[0] + ask[0]) / 2 if one_decay else None,
        "k": bid[1] if one_decay else None,
        "sigma_ticks_per_sqrt_s": sigma,
        "sides": {"bid": {"A": bid[0], "k": bid[1]}, "ask": {"A": ask[0], "k": ask[1]}},
    }


@dataclass(frozen=True, kw_only=True)
class ZeroIntelligence(Scenario):
    """Limit orders, market orders and cancellations at constant rates; every queue position is known."""

    name: ClassVar[str] = "zero_intelligence"

    limit_per_s: float = knob(118.0, _EVENT_RATE, "Limit orders per side at all distances, in 1/s.")
    limit_exponent: float = knob(0.5, number(0, 10), "The rate of limit orders falls with this power of the distance.")
    limit_reach_ticks: int = knob(400, integer(1, 5000), "The largest distance from the other side's best, in ticks.")
    market_per_s: float = knob(7.5, _EVENT_RATE, "Market orders per side, in 1/s.")
    cancel_per_s: float = knob(0.05, number(0.0001, 100), "Cancellations of each resting order, in 1/s.")
    limit_qty: str = knob("0.05", _QTY, "Mean size of a limit order, in the base asset.")
    market_qty: str = knob("0.05", _QTY, "Mean size of a market order, in the base asset.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("limit_qty", "market_qty"):
            self.on_grid(field, "qty_step", MOST_MEAN_LOTS)

    def limit_rates(self) -> list[float]:
        weights = [distance**-self.limit_exponent for distance in range(1, self.limit_reach_ticks + 1)]
        return [self.limit_per_s * weight / sum(weights) for weight in weights]

    def flow(self, matching: "Matching", session: Session) -> Flow:
        import numpy as np

        from mm.sim.flow._queues import QueueFlow

        instrument = self.instrument(session.symbol)
        return QueueFlow(
            matching,
            (session.open_us, session.flow_us[0]),
            np.cumsum(self.limit_rates()),
            (self.market_per_s, self.cancel_per_s),
            (instrument.lots(self.limit_qty), instrument.lots(self.market_qty)),
            instrument.ticks(self.start_price),
            session.key,
        )

    def truth(self, session: Session) -> dict[str, Any]:
        rates = {
            "limit_per_s": self.limit_per_s,
            "limit_per_s_at_distance": self.limit_rates(),
            "market_per_s": self.market_per_s,
            "cancel_per_s_and_order": self.cancel_per_s,
        }
        return super().truth(session) | {"rates_of_a_side": rates}


@dataclass(frozen=True, kw_only=True)
class LargeTick(ZeroIntelligence):
    """A spread that is nearly always one tick, and long queues."""

    name: ClassVar[str] = "large_tick"

    limit_per_s: float = knob(20.0, _EVENT_RATE, "Limit orders per side at all distances, in 1/s.")
    limit_exponent: float = knob(1.0, number(0, 10), "The rate of limit orders falls with this power of the distance.")
    limit_reach_ticks: int = knob(20, integer(1, 5000), "The largest distance from the other side's best, in ticks.")
    market_per_s: float = knob(2.1, _EVENT_RATE, "Market orders per side, in 1/s.")
    cancel_per_s: float = knob(0.04, number(0.0001, 100), "Cancellations of each resting order, in 1/s.")
    limit_qty: str = knob("5", _QTY, "Mean size of a limit order, in the base asset.")
    market_qty: str = knob("10", _QTY, "Mean size of a market order, in the base asset.")


_ALL: tuple[type[Scenario], ...] = (
    *(PoissonMarket, HawkesMarket, Regimes, FollowerMarket),
    *(ZeroIntelligence, LargeTick, Gaps, Empty),
)
SCENARIOS: Mapping[str, type[Scenario]] = {scenario.name: scenario for scenario in _ALL}
FIELDS: Mapping[str, Mapping[str, Knob]] = {
    name: {field.name: field for field in knobs(scenario)} for name, scenario in SCENARIOS.items()
}
"""The knobs of each scenario, by field name."""


def _help(field: Knob) -> str:
    names: dict[str, list[str]] = {}
    for scenario, fields in FIELDS.items():
        if field.name in fields:
            names.setdefault(shown(fields[field.name].default) or "none", []).append(scenario)
    if [len(scenarios) for scenarios in names.values()] == [len(FIELDS)]:
        return f"{field.help} ({next(iter(names))})"
    defaults = "; ".join(f"{', '.join(scenarios)}: {value}" for value, scenarios in names.items())
    return f"{field.help} ({defaults})"


_EVERY = {name: field for fields in FIELDS.values() for name, field in fields.items()}
ScenarioParameters: type = make_dataclass(
    "ScenarioParameters",
    [(name, Any, knob(None, field.reader, _help(field), flag=field.flag)) for name, field in _EVERY.items()],
    frozen=True,
    kw_only=True,
)
"""The fields of a command with every parameter of every scenario, each flag once; `chosen` reads them."""


def chosen(name: str, flags: Any) -> Scenario:
    own = FIELDS[name]
    given = {entry.name: entry for entry in knobs(ScenarioParameters) if getattr(flags, entry.name) is not None}
    context = click.get_current_context(silent=True)
    foreign = [
        entry
        for field, entry in given.items()
        if field not in own and (context is None or context.get_parameter_source(field) is ParameterSource.COMMANDLINE)
    ]
    if foreign:
        known = ", ".join(entry.flag for entry in own.values())
        raise UsageError(
            "{}: scenario {} has no such parameter, only {}; omit it, or choose another {scenario}",
            parameter(foreign[0].name),
            name,
            known,
        )
    return SCENARIOS[name](**{field: getattr(flags, field) for field in given if field in own})
