"""A halt is known from a silence to its end, not to the next quarter of an hour."""

import json
from itertools import groupby

from boxed import recorded
from mm.market_data import snapshot
from mm.market_data.market_state import MarketState


def test_end_of_a_halt_is_asked_for_soon(monkeypatch):
    """The status is asked again while the symbol is not traded: its day has no market until then.

    A busy machine stalls, which asks for it again, too.
    """
    monkeypatch.setattr(snapshot, "HALTED_EVERY_S", 0.1)
    learned, learn = [], MarketState.status

    def status(market, recv_us, name):
        learned.append(name)
        learn(market, recv_us, name)

    monkeypatch.setattr(MarketState, "status", status)

    async def halted(boxed):
        await boxed.synced()
        await boxed.until(lambda: "BREAK" in learned and learned[-1] == "TRADING")
        await boxed.play(1)
        await boxed.caught_up()

    day = recorded(halted, "at time 4 do halt for_s=60", silence_s=0.4)
    told = [
        (json.loads(row["details_json"])["status"], int(row["recv_time_ms"]) - 1_767_600_000_000)
        for row in day.events
        if row["type"] == "exchange_info"
    ]
    statuses = [name for name, _ in told]
    assert [name for name, _ in groupby(statuses)] == ["TRADING", "BREAK", "TRADING"]
    begin_ms = told[statuses.index("BREAK")][1]
    end_ms = next(at_ms for name, at_ms in told if name == "TRADING" and at_ms > begin_ms)
    assert 4_000 < begin_ms < 64_000 < end_ms < 84_000  # thousands of waits of 4 ms: a busy machine is slower
