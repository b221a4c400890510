# Generated from mm/rl/_stepper.pyx by `make stubs`; edit that file instead.

"""The loop between two decisions: an action in, the engine on to the next decision, an observation and a reward out.

A decision is made at a requote. So that it can be made outside, the requote that asks for it leaves our orders as they
are (`Driven`), the engine stops there, and the requote is made again once the action is there. What happens is what a
backtest does whose quote model decides at that requote by itself (tests/rl/test_stepper.py).
"""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.agent_file import AgentTerms
from mm.backtest.quotes.steps import Step

REWARDS: tuple[str, ...]

class Driven(Step):
    """The strategy of an agent whose actions come from outside.

    Args:
        terms: What the agent observes, and what its actions mean.
    """
    def __init__(self, terms: AgentTerms) -> None: ...

class Stepper:
    """One episode: an agent from outside, on a paper exchange that has its tape attached.

    Args:
        exchange: The exchange, whose quote model is *driven*.
        driven: The agent's place in it.
        start_us: Where the episode begins.
        end_us: Where the tape ends.
        reward: One of ``REWARDS``.
        weight: Of ``spread_inventory`` phi, in ticks/(clip·s); of ``utility`` gamma, in 1/(tick·clip).

    Attributes:
        equity: Cash and inventory at the mid, in the quote asset.
        inventory: In the base asset.
        decisions: How many have been made.
        ended: Whether the tape has.
    """
    @property
    def equity(self) -> float: ...
    @property
    def inventory(self) -> float: ...
    @property
    def decisions(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    def __init__(
        self, exchange: PaperExchange, driven: Driven, start_us: int, end_us: int, reward: str, weight: float
    ) -> None: ...
    def observe(self) -> NDArray[np.float32]:
        """Return what the agent observes, float32[inputs]."""
    def observed(self) -> NDArray[np.float64]:
        """Return what the decision that is due is made from, float64[inputs], before it is rounded for `observe`."""
    def fills(self) -> list[tuple[int, int, int, int, int]]:
        """Return the fills so far, each as instant, order id, side, ticks, lots."""
    def choose(self, action: NDArray[np.float64]) -> None:
        """Set the next action: bid offset, ask offset, size; raises ValueError where it is none of three numbers."""
    def pick(self, choice: int) -> None:
        """Set the next action by its number; raises ValueError where there is none of that number."""
    def step(self) -> float:
        """Act, and play on to the next decision; return the reward."""
