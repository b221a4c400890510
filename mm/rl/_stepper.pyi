# Generated from mm/rl/_stepper.pyx by `make stubs`; edit that file instead.

"""The loop between two decisions: takes an action, plays to the next decision, returns observation and reward.

A decision is made at a requote. To make it outside, the requote that needs it leaves our orders unchanged (`Driven`),
the engine stops there, and the requote is repeated once the action is set. The result equals that of a backtest whose
quote model decides at that requote itself (tests/rl/test_stepper.py).
"""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.quotes.agent_file import AgentTerms
from mm.backtest.quotes.steps import Step

REWARDS: tuple[str, ...]

class Driven(Step):
    """The strategy of an agent whose actions are set from outside.

    Args:
        terms: Observations of the agent, and the meaning of its actions.
    """
    def __init__(self, terms: AgentTerms) -> None: ...

class Stepper:
    """One episode: an external agent on a paper exchange with its tape attached.

    Args:
        exchange: The exchange, whose quote model is *driven*.
        driven: The agent's strategy.
        start_us: Start of the episode.
        end_us: End of the tape.
        reward: One of ``REWARDS``.
        weight: For ``spread_inventory`` phi, in ticks/(clip·s); for ``utility`` gamma, in 1/(tick·clip).

    Attributes:
        equity: Cash and inventory at the mid, in the quote asset.
        inventory: In the base asset.
        decisions: Number of decisions made.
        ended: Whether the tape has ended.
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
        """Return the observation, float32[inputs]."""
    def observed(self) -> NDArray[np.float64]:
        """Return the input of the due decision, float64[inputs], before it is rounded for `observe`."""
    def fills(self) -> list[tuple[int, int, int, int, int]]:
        """Return the fills so far, each as instant, order id, side, ticks, lots."""
    def choose(self, action: NDArray[np.float64]) -> None:
        """Set the next action: bid offset, ask offset, size; raise ValueError if it is invalid."""
    def pick(self, choice: int) -> None:
        """Set the next action by its index; raise ValueError if there is none."""
    def step(self) -> float:
        """Act, and play to the next decision; return the reward."""
