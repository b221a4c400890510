"""``python -m mm.market_data.recorder``: ``mm record``, as a recording machine starts it."""

if __name__ == "__main__":
    from mm.commands.record import record

    record()
