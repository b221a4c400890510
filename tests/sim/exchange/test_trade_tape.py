"""Market data over trades, against sums over all of them."""

from hypothesis import given
from hypothesis import strategies as st

from mm.clock import US_PER_S
from mm.sim.exchange.trade_tape import Trade, TradeTape

MINUTE_US = 60 * US_PER_S
STEPS = st.lists(
    st.tuples(st.integers(0, 100 * US_PER_S), st.integers(1, 999), st.integers(1, 99), st.booleans()), max_size=60
)


def trades(steps: list[tuple[int, int, int, bool]]) -> list[Trade]:
    """Return trades with ids from 5 on."""
    us, found = 0, []
    for trade_id, (wait_us, ticks, lots, buyer_is_maker) in enumerate(steps, start=5):
        us += wait_us
        found.append(Trade(trade_id, us, ticks, lots, buyer_is_maker))
    return found


@given(STEPS, st.integers(0, 400 * US_PER_S))
def test_the_mean_price_is_that_of_the_last_minutes(steps: list[tuple[int, int, int, bool]], later_us: int) -> None:
    """Weighted by quantity; where nothing traded, the last price; before any trade there is none."""
    tape, all_trades = TradeTape(5), trades(steps)
    for trade in all_trades:
        tape.add(trade)
    us = (all_trades[-1].us if all_trades else 0) + later_us
    recent = [one for one in all_trades if one.us > us - 5 * MINUTE_US] or all_trades[-1:]
    expected = (sum(one.ticks * one.lots for one in recent), sum(one.lots for one in recent)) if recent else None
    assert tape.average(us) == expected


@given(STEPS, st.integers(0, 80), st.integers(1, 70))
def test_trades_are_found_by_id(steps: list[tuple[int, int, int, bool]], first: int, limit: int) -> None:
    """From an id on, oldest first, or the latest."""
    tape, all_trades = TradeTape(5), trades(steps)
    for trade in all_trades:
        tape.add(trade)
    assert tape.since_id(first, limit) == [one for one in all_trades if one.trade_id >= first][:limit]
    assert tape.latest(limit) == all_trades[-limit:]
    assert tape.last == (all_trades[-1] if all_trades else None)


def test_the_oldest_trades_are_forgotten() -> None:
    """At least as many are kept as were asked for, and at most twice as many."""
    tape = TradeTape(5, keep=100)
    for trade_id in range(1, 1_001):
        tape.add(Trade(trade_id, trade_id, 7, 1, False))
    kept = tape.since_id(0, 10_000)
    assert [one.trade_id for one in kept] == list(range(kept[0].trade_id, 1_001))
    assert 100 <= len(kept) <= 200


def test_a_day_has_its_four_prices_and_its_volume() -> None:
    """Trades of a minute more than 24 hours ago are left out."""
    tape = TradeTape(5)
    for trade_id, (minute, ticks, lots) in enumerate([(0, 50, 9), (1, 100, 1), (700, 300, 2), (1_440, 80, 3)], start=1):
        tape.add(Trade(trade_id, minute * MINUTE_US, ticks, lots, False))
    day = tape.day(1_441 * MINUTE_US)
    assert day is not None
    assert (day.open_ticks, day.high_ticks, day.low_ticks, day.close_ticks) == (100, 300, 80, 80)
    assert (day.volume_lots, day.turnover_tl, day.first_id, day.last_id) == (6, 100 + 600 + 240, 2, 4)
    assert tape.before(day.us) == Trade(1, 0, 50, 9, False)
    assert TradeTape(5).day(0) is None
