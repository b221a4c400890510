"""``python -m mm.market_data.recorder`` is ``mm record``, as a recording machine starts it."""

from mm.commands.record import record as main

if __name__ == "__main__":
    main()
