# Generated from mm/backtest/_level_queue.pyx by `make stubs`; edit that file instead.

"""Queue positions on best prices: levels are looked up in an index (`mm.tape.level_changes`), not stored in a book.

Between two prints at an order's price only changes of its level affect its queue position, so they are applied at the
second print. An order joins its level when a print first reaches its price: most are never reached.
At the touch the level is read from the tape's best prices, which are sequential, while changes of a level are scattered
in the index.
Event numbers are those of the whole tape, of which a window may be played.
"""

from typing import final

from mm.backtest.fills.base import FillModel

@final
class LevelQueue:
    """The queue positions of our resting orders on a tape that is played on its best prices.

    Args:
        fills: The fill model; it follows the levels of its orders.
    """
    def __init__(self, fills: FillModel) -> None: ...
