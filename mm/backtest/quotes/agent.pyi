# Generated from mm/backtest/quotes/agent.pyx by `make stubs`; edit that file instead.

"""Quotes by a trained agent: it observes and decides at fixed intervals, and its action holds until the next decision.

An action is two offsets, which move bid and ask from their base prices, and a size. The base prices are at the distance
of the training, or one tick behind the touch if it had none. `mm.rl` trains such agents.
"""

from mm.backtest.parameters import Parameter
from mm.backtest.quotes.agent_file import AgentTerms, SavedAgent
from mm.backtest.quotes.base import QuoteModel

MODEL_PATH: Parameter

class Agent(QuoteModel):
    """Quotes set by the action of the last decision.

    Args:
        terms: Its observations and the meaning of its actions.
        saved: The agent whose network decides; None if actions are set from outside.
    """
    @property
    def sha256(self) -> str: ...
    def __init__(self, terms: AgentTerms, saved: SavedAgent | None = None) -> None: ...

def rl(*, model_path: str) -> QuoteModel:
    """Return the strategy of the agent in a file: post-only, within its inventory bound."""

def strategy_of(agent: Agent) -> QuoteModel:
    """Return the strategy of an agent: `PostOnly`, within an `InventoryBound`."""
