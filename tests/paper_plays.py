"""Recorded days played by the paper exchange of a shadow, event by event."""

import json

from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.instrument import to_exchange_info
from mm.live.run.live_play import PaperPlay
from mm.live.run.live_terms import ShadowTerms
from mm.play.given import groups_of
from mm.play.knobs import Models
from mm.play.setup import PlayKnobs
from named import events_of


def shadow_of(tape, symbol, day, **given):
    """Return the result of a shadow that knew nothing of the tape but its grid and its first book, with knobs."""
    best = [str(tape.instrument.price(int(side[0]))) for side in (tape.top_bid_ticks, tape.top_ask_ticks)]
    entry = json.loads(to_exchange_info(tape.instrument))
    execution, account, models, risk = groups_of((Execution, Account, Models, Risk), given, "the shadow")
    knobs = PlayKnobs(execution=execution, account=account, models=models, risk=risk)
    play = PaperPlay(ShadowTerms(symbol, day, entry, *best, tape.start_us), knobs)
    play.feed(events_of(tape.with_lot(play.grid.lot_e8)))
    play.advance(tape.end_us)
    return play.result()
