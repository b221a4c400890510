"""A halt is known from a silence to its end, not to the next quarter of an hour."""

import json

from boxed import recorded
from mm.market_data import snapshot


def test_end_of_a_halt_is_asked_for_soon(monkeypatch):
    """The status is asked again while the symbol is not traded: its day has no market until then."""
    monkeypatch.setattr(snapshot, "HALTED_EVERY_S", 0.1)

    async def halted(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("exchange_info") == 3)
        await boxed.play(1)
        await boxed.caught_up()

    day = recorded(halted, "at time 4 do halt for_s=60", silence_s=0.4)
    told = [row for row in day.events if row["type"] == "exchange_info"]
    assert [json.loads(row["details_json"])["status"] for row in told] == ["TRADING", "BREAK", "TRADING"]
    begin_ms, end_ms = (int(row["recv_time_ms"]) - 1_767_600_000_000 for row in told[1:])
    assert 4_000 < begin_ms < 64_000 < end_ms < 84_000  # thousands of waits of 4 ms: a busy machine is slower
