"""Recordings that a test feeds message by message."""

from mm.dayfolder.day_writer import DayWriter
from mm.market_data.day_journal import DayJournal
from mm.market_data.live_session import LiveSession
from mm.market_data.market_state import MarketState
from mm.markets.messages import Answer


def open_day(folder, run_id="R1", *, top_n=5, **options):
    """Return the writer of a run of a day."""
    return DayWriter(folder, run_id, top_n=top_n, **options)


def record_into(writer, us, **options):
    """Return a session that records into a writer's day."""
    return LiveSession(writer, us, writer.top_n, **options)


def answer(us, url, body, status=200, cause=None):
    """Return the answer to a REST request."""
    return Answer(us, url, status, body, cause)


def market_into(writer, grid, us, market):
    """Return the market of a grid whose rows a writer's journal takes, and the journal."""
    journal = DayJournal(writer, us, "ws")
    return MarketState(grid, (journal,), top_n=writer.top_n, rule=market.rule), journal
