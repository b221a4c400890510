"""The parts of a scenario: grid, true parameters, and an order flow that moves the market."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from mm.base.knobs import Reader, decimal, knob, number
from mm.errors import UsageError, parameter
from mm.instrument import E8, Instrument, e8
from mm.sim.flow.session import RecordingFault, Session
from mm.sim.matching.order_log import MOST_LOTS, MOST_TICKS

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

MIN_NOTIONAL_E8 = 5 * E8
MOST_MEAN_LOTS = MOST_LOTS // 20_000
"""The largest mean quantity of a level: an order that sweeps a whole book of such levels fits the matching engine."""


class Flow(Protocol):
    """Sends orders to a matching engine up to a given time."""

    def advance(self, until_us: int) -> None:
        """Send orders up to and including *until_us*.

        They depend only on the seed and on the users' orders, not on the times of the calls.
        """

    def counts(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario; its fields are command-line flags. With a session it defines a market."""

    name: ClassVar[str]

    start_price: str = knob("100", decimal("0.00000001", "1000000000"), "The mid at the opening, in the quote asset.")
    tick_size: str = knob("0.01", decimal("0.00000001", "1000000000"), "Price step, in the quote asset.")
    qty_step: str = knob("0.001", decimal("0.00000001", "1000000000"), "Quantity step, in the base asset.")

    def __post_init__(self) -> None:
        self.on_grid("start_price", "tick_size", MOST_TICKS // 2)

    def on_grid(self, field: str, step_field: str, most: int) -> None:
        """Raise UsageError if *field* is not a multiple of *step_field*, or exceeds *most* times it."""
        text, step = getattr(self, field), getattr(self, step_field)
        steps, rest = divmod(e8(text), e8(step))
        if rest or steps > most:
            problem = "not a multiple of" if rest else f"over {most:,} times"
            grid = parameter(step_field)
            raise UsageError("{} {} is {} {} {}; change one of them", parameter(field), text, problem, grid, step)

    def instrument(self, symbol: str) -> Instrument:
        return Instrument(symbol, e8(self.tick_size), e8(self.qty_step), MIN_NOTIONAL_E8)

    def flow(self, matching: "Matching", session: Session) -> Flow:
        raise NotImplementedError

    def faults(self, session: Session) -> tuple[RecordingFault, ...]:  # noqa: ARG002 - most scenarios have none
        return ()

    def truth(self, session: Session) -> dict[str, Any]:  # noqa: ARG002 - the truth may not depend on it
        """What a calibration of *session* should estimate; None for a value the market lacks."""
        return {
            "A": None,
            "k": None,
            "sigma_ticks_per_sqrt_s": None,
            "tick_size": float(self.tick_size),
            "sides": {side: {"A": None, "k": None} for side in ("bid", "ask")},
        }


class Law(NamedTuple):
    """The parameters of a regular market from *start_s* (seconds after the flow's start) on.

    *bid* and *ask* are A (1/s) and k (1/tick) of the orders that hit bids and asks.
    """

    start_s: float
    sigma: float
    bid: tuple[float, float]
    ask: tuple[float, float]

    def hit_by(self, side: int) -> tuple[float, float]:
        return self.ask if side > 0 else self.bid


class Lead(NamedTuple):
    """The moves of another market's mid, which a market repeats."""

    key: int
    lag_us: int
    sigma: float


class NoFlow:
    def advance(self, until_us: int) -> None: ...

    def counts(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Empty(Scenario):
    """An empty book without flow, for tests that specify every message."""

    name: ClassVar[str] = "empty"

    def flow(self, matching: "Matching", session: Session) -> Flow:  # noqa: ARG002 - unused here
        return NoFlow()


def series(low: float, high: float) -> Reader:
    entry = number(low, high)

    def parse(text: str) -> tuple[float, ...]:
        try:
            return tuple(entry.parse(part) for part in text.split(","))
        except ValueError as error:
            raise ValueError(f"a list such as 1,2,1, each entry {error}") from None

    return Reader("N,N,…", parse)
