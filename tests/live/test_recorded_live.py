"""What a strategy records in a live market."""

from shadowed import shadowed, strategy

import mm


class Records:
    """Join the best prices, and record the mid."""

    def quote(self, view):
        view.record("mid", view.mid2_ticks / 2)
        return mm.Quotes(view.bid_ticks, view.ask_ticks)


async def quiet(boxed):
    await boxed.synced()
    await boxed.play(5)
    await boxed.caught_up()


def test_a_shadow_keeps_what_its_strategy_records_at_each_call():
    done = shadowed(quiet, knobs=strategy(quote_model="test_recorded_live:Records", fill_model="trade_cross"))
    us, mid = done.journal.recorded.by_name["mid"]
    assert done.found.same
    assert len(us) > 100
    assert set(done.journal.decisions[:, 0]) == set(us)
    assert (mid > 0).all()
