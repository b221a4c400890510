"""Run ``mm`` and end the process right after a step of a trade's start: ``python die_after.py STEP SIGNAL WORD …``."""

import os
import sys
from functools import wraps

STEPS = (
    "learned",
    "marks_read",
    "history_read",
    "log_made",
    "log_begun",
    "gateway_started",
    "orders_ended",
    "ledger_begun",
    "engine_made",
    "joined",
    "desk_made",
    "attached",
    "recording",
    "booked",
    "first_look",
    "marked",
)
"""The steps of a start, in order: the last four are of the market, whose first requote gives an equity."""


def _main() -> None:
    step, number = sys.argv.pop(1), int(sys.argv.pop(1))
    del sys.path[0]  # the tests' own folder
    from mm.backtest.engine.live_feed import LiveFeed
    from mm.live.audit.history import EquityFile
    from mm.live.audit.log import AuditLog
    from mm.live.orders.gateway import Gateway
    from mm.live.orders.reports import OrderReports
    from mm.live.run import trade_run
    from mm.live.run.order_source import OwnStrategy
    from mm.live.run.quote import Quoting
    from mm.live.run.trade_run import TradeRun
    from mm.live.run.trader import Trader

    def die() -> None:
        os.kill(os.getpid(), number)

    places = {
        "learned": (TradeRun, "learn"),
        "marks_read": (EquityFile, "read"),
        "history_read": (trade_run, "read_history"),
        "log_made": (AuditLog, "__init__"),
        "log_begun": (TradeRun, "_begin_log"),
        "gateway_started": (Gateway, "start"),
        "orders_ended": (TradeRun, "_ready"),
        "ledger_begun": (Quoting, "_note_changed_knobs"),
        "engine_made": (OwnStrategy, "play"),
        "joined": (Quoting, "_join"),
        "desk_made": (Quoting, "_open_observer"),
        "attached": (OrderReports, "attach"),
        "recording": (Quoting, "_record"),
        "booked": (LiveFeed, "__call__"),
        "first_look": (Trader, "act"),
        "marked": (EquityFile, "keep"),
    }
    owner, name = places[step]
    whole = getattr(owner, name)

    if step == "recording":  # it runs until the end: at its begin

        async def replaced(*words, **terms):
            die()
            return await whole(*words, **terms)
    elif name in ("learn", "_begin_log", "start", "_ready", "_join"):

        @wraps(whole)
        async def replaced(*words, **terms):
            found = await whole(*words, **terms)
            die()
            return found
    else:

        @wraps(whole)
        def replaced(*words, **terms):
            found = whole(*words, **terms)
            die()
            return found

    setattr(owner, name, replaced)
    from mm.__main__ import main

    main()


if __name__ == "__main__":
    _main()
