# Generated from mm/backtest/_event_buffer.pyx by `make stubs`; edit that file instead.

"""Fed events as columns of a tape, which grow at the end and are cleared at the start."""

class EventBuffer:
    """The events of a feed that the engine still needs."""
    def __init__(self) -> None: ...
