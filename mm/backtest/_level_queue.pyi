# Generated from mm/backtest/_level_queue.pyx by `make stubs`; edit that file instead.

"""Places in queues on best prices: levels are looked up in an index (`mm.tape.level_changes`), not kept in a book.

Between two prints at an order's price only changes of its level matter to its place, so they are walked through when
the second print comes. An order joins its level no sooner than a print reaches its price: most are never reached.
At the touch the tape's best prices say what its level displays: they are read one after another, and changes of a level
lie anywhere in the index.
Events are counted in the whole tape, of which a window may be played.
"""

from typing import final

from mm.backtest.fills.base import FillModel

@final
class LevelQueue:
    """The levels of our resting orders, on a tape that is played on its best prices.

    Args:
        fills: The fill model; it follows the levels of its orders.
    """
    def __init__(self, fills: FillModel) -> None: ...
