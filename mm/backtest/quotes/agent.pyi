# Generated from mm/backtest/quotes/agent.pyx by `make stubs`; edit that file instead.

"""Quotes by a trained agent: every so often it observes and decides, and its action holds until the next decision.

An action is two offsets, which move bid and ask away from their places, and a size. Without offsets the quotes stand
at the distance that the agent was trained with, else one tick behind the touch. `mm.rl` trains such agents.
"""

from mm.backtest.parameters import Parameter
from mm.backtest.quotes.agent_file import AgentTerms, SavedAgent
from mm.backtest.quotes.base import QuoteModel

MODEL_PATH: Parameter

class Agent(QuoteModel):
    """Quote by the action of the last decision.

    Args:
        terms: What it observes, and what its actions mean.
        saved: The agent, whose network decides; None where actions come from outside.
    """
    @property
    def sha256(self) -> str: ...
    def __init__(self, terms: AgentTerms, saved: SavedAgent | None = None) -> None: ...

def rl(*, model_path: str) -> QuoteModel:
    """Return the agent of a file as a strategy: never crossing, within its bound of the inventory."""

def strategy_of(agent: Agent) -> QuoteModel:
    """Return an agent as it is played: `PostOnly`, within an `InventoryBound`."""
