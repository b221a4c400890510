# Generated from mm/backtest/_event_buffer.pyx by `make stubs`; edit that file instead.

"""Events that were fed: the columns of a tape, which grow at their end and are cleared at their begin."""

class EventBuffer:
    """The events of a feed that the engine still needs."""
    def __init__(self) -> None: ...
