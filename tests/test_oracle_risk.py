"""Risk limits (docs/trading.md) on hand-calculated tapes, for both the oracle and the engine.

Times and latencies are those of oracle_lab.py: a tick is 1 quote, a lot 1 base, the mid is 100, and 100 lots are held.
"""

import pytest

from mm import Quotes
from mm.backtest.risk import LIMITS, RiskLimits
from oracle_lab import SNAPSHOT, TWINS, order_rows, player, reason_rows, until

E8 = 10**8
SECOND_US = 10**6
BOTH = {1000: Quotes(98, 102)}


@pytest.fixture(params=TWINS)
def play(request):
    played = player(request.param)

    def limited(plan, *events, limits, **changes):
        return played(plan, *events, risk=RiskLimits(**limits), **changes)

    return limited


def breaches(played):
    """Return the breaches as (us, limit, value, bound, side), with values in the knob's unit."""
    return [(us, LIMITS[limit], value / E8, bound / E8, side) for us, limit, value, bound, side in played.breaches]


def rows_of(played, *actions):
    return [(us, number, action) for us, number, action, _ in order_rows(played) if action in actions]


def ticking(us, step_us):
    """Return trades that change nothing but keep the feed from going stale."""
    return [until(at) for at in range(1000 + step_us, us + 1, step_us)]


# Limits that withhold an order


def test_max_position_withholds_side_that_could_exceed_it(play):
    """A bid of 10 with 100 lots held could reach 110; the ask reduces the position. At a bound of 110 both are sent."""
    played = play(BOTH, SNAPSHOT, until(1300), limits={"max_position_e8": 109 * E8}, target_lots=0)
    assert reason_rows(played) == [(1000, 1, "SKIP", "max_position")]
    assert breaches(played) == [(1000, "MAX_POSITION", 110.0, 109.0, 1)]
    allowed = play(BOTH, SNAPSHOT, until(1010), limits={"max_position_e8": 110 * E8}, target_lots=0)
    assert rows_of(allowed, "SKIP") == []


def test_max_position_counts_from_the_target(play):
    """100 lots are held and wanted: a bid of 10 is 10 away. With a target of 95 it is 15 away, the ask 5."""
    assert rows_of(play(BOTH, SNAPSHOT, until(1010), limits={"max_position_e8": 10 * E8}), "SKIP") == []
    played = play(BOTH, SNAPSHOT, until(1010), limits={"max_position_e8": 14 * E8}, target_lots=95)
    assert breaches(played) == [(1000, "MAX_POSITION", 15.0, 14.0, 1)]


def test_orders_under_cancel_count_against_limits(play):
    """The bid is replaced at 1100, but may fill until 1105, so the new one waits for the next requote."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    played = play(plan, SNAPSHOT, until(1200), limits={"max_position_e8": 110 * E8}, target_lots=0)
    assert rows_of(played, "PLACE", "CANCEL_REQ", "SKIP") == [
        (1000, 1, "PLACE"),
        (1100, 1, "CANCEL_REQ"),
        (1100, 0, "SKIP"),
        (1200, 2, "PLACE"),
    ]
    one_open = play(plan, SNAPSHOT, until(1200), limits={"max_open_orders": 1})
    assert reason_rows(one_open)[1:] == [(1100, 1, "SKIP", "max_open_orders"), *reason_rows(one_open)[2:]]
    assert breaches(one_open) == [(1100, "MAX_OPEN_ORDERS", 2.0, 1.0, 1)]


def test_max_open_orders_is_per_side(play):
    played = play(BOTH, SNAPSHOT, until(1010), limits={"max_open_orders": 2}, quote_levels=3)
    assert [(row[4], row[5]) for row in played.orders if row[2] == 0] == [(1, 98), (-1, 102), (1, 97), (-1, 103)]
    assert [row[1:] for row in breaches(played)] == [("MAX_OPEN_ORDERS", 3.0, 2.0, side) for side in (1, -1)]


def test_max_leverage_withholds_side_that_adds_exposure(play):
    """Equity is 1,010,000 with 100 lots at 100; with the bid, 110 lots have an exposure of 11,000."""
    equity = {"start_cash_e8": 1_000_000 * E8}
    bound = 11_000 * E8 // 1_010_000
    played = play(BOTH, SNAPSHOT, until(1010), limits={"max_leverage_e8": bound}, **equity)
    assert reason_rows(played) == [(1000, 1, "SKIP", "max_leverage")]
    assert rows_of(play(BOTH, SNAPSHOT, until(1010), limits={"max_leverage_e8": bound + 1}, **equity), "SKIP") == []


def test_order_notional_and_price_band_withhold_orders(play):
    """10 lots have a notional of 980 at 98 and 1,020 at 102; both prices are 2 % from the mid."""
    notional = play(BOTH, SNAPSHOT, until(1010), limits={"max_order_notional_e8": 980 * E8})
    assert breaches(notional) == [(1000, "MAX_ORDER_NOTIONAL", 1020.0, 980.0, -1)]
    band = {"price_band_e8": 2_000_000}
    assert breaches(play(BOTH, SNAPSHOT, until(1010), limits=band)) == []
    played = play({1000: Quotes(97, 102)}, SNAPSHOT, until(1010), limits=band)
    assert breaches(played) == [(1000, "PRICE_BAND", 0.03, 0.02, 1)]


def test_max_orders_per_s_delays_orders_but_not_cancels(play):
    """With two per second, the third order is sent a second after the first, the cancel at once."""
    plan = {1000: Quotes(98, None), 101_000: Quotes(97, None), 201_000: Quotes(96, None)}
    played = play(plan, SNAPSHOT, until(1_001_100), limits={"max_orders_per_s": 2}, requote_us=100_000)
    assert rows_of(played, "PLACE", "CANCEL_REQ", "SKIP") == [
        (1000, 1, "PLACE"),
        (101_000, 1, "CANCEL_REQ"),
        (101_000, 2, "PLACE"),
        (201_000, 2, "CANCEL_REQ"),
        (201_000, 0, "SKIP"),
        (1_001_000, 3, "PLACE"),
    ]
    assert breaches(played) == [(201_000, "MAX_ORDERS_PER_S", 3.0, 2.0, 1)]


def test_each_stretch_of_violation_writes_one_breach(play):
    """The order is withheld from 1000, within the limit from 1300 and withheld again from 1500."""
    plan = {1000: Quotes(90, None), 1300: Quotes(98, None), 1500: Quotes(90, None)}
    played = play(plan, SNAPSHOT, until(1900), limits={"price_band_e8": 5_000_000})
    assert [row[:2] for row in breaches(played)] == [(1000, "PRICE_BAND"), (1500, "PRICE_BAND")]


# Limits that pull the quotes


def test_max_move_pulls_quotes_and_resumes_after_cooldown(play):
    """The mid moves from 100 to 103 at 1150: quotes are pulled at 101,000 and return 10 s after the violation."""
    move = (1150, "snapshot", [(102, 5)], [(104, 5)])
    events = [SNAPSHOT, move, *ticking(12_100_000, 500_000)]
    rare = {"requote_us": 100_000}
    played = play({1000: Quotes(90, 110)}, *events, limits={"max_move_e8": 2_900_000}, **rare)
    assert breaches(played) == [(101_000, "MAX_MOVE", 0.03, 0.029, 0)]
    assert reason_rows(played)[:2] == [(101_000, 1, "CANCEL_REQ", "max_move"), (101_000, -1, "CANCEL_REQ", "max_move")]
    last = 1000 + SECOND_US
    assert rows_of(played, "PLACE")[2:] == [(last + 10 * SECOND_US, 3, "PLACE"), (last + 10 * SECOND_US, 4, "PLACE")]
    assert breaches(play({1000: Quotes(90, 110)}, *events, limits={"max_move_e8": 3_000_000}, **rare)) == []


def test_feed_stale_pulls_quotes_while_no_events_arrive(play):
    """There are no events after 1000; at 1300 the silence of 300 µs equals the bound, at 1400 it exceeds it."""
    played = play(BOTH, SNAPSHOT, until(1500), limits={"feed_stale_us": 300})
    assert breaches(played) == [(1400, "FEED_STALE_S", 400e-6, 300e-6, 0)]
    assert rows_of(played, "CANCEL_REQ") == [(1400, 1, "CANCEL_REQ"), (1400, 2, "CANCEL_REQ")]
    assert reason_rows(played)[2:4] == [(1400, 1, "SKIP", "feed_stale_s"), (1400, -1, "SKIP", "feed_stale_s")]


@pytest.mark.parametrize(("bound_us", "slow"), [(10, False), (9, True)])
def test_slow_acknowledgement_pulls_quotes(play, bound_us, slow):
    """Sent at 1000 and acknowledged at 1010; the requote of 1100 applies the limit."""
    played = play(BOTH, SNAPSHOT, until(1200), limits={"slow_ack_us": bound_us})
    assert breaches(played) == ([(1100, "LATENCY_THRESHOLD_MS", 10e-3, 9e-3, 0)] if slow else [])
    assert bool(rows_of(played, "CANCEL_REQ")) == slow


def test_pending_acknowledgement_counts_as_slow_before_arrival(play):
    """At 1300 the order has been pending for 300 µs with 250 allowed; it would arrive at 2000."""
    played = play({1000: Quotes(98, None)}, SNAPSHOT, until(2100), limits={"slow_ack_us": 250}, order_latency_us=1000)
    assert breaches(played) == [(1300, "LATENCY_THRESHOLD_MS", 0.3, 0.25, 0)]


# Limits that kill the run


def test_max_daily_loss_kills_the_run(play):
    """100 lots lose 200 when the mid falls by 2: all orders are cancelled, and no more are sent."""
    fall = (1150, "snapshot", [(97, 5)], [(99, 5)])
    hands = [(1010, "place", 1, 90, 1, "LIMIT_MAKER"), (1500, "place", 1, 90, 1, "LIMIT_MAKER")]
    played = play(
        {1000: Quotes(95, 105)}, SNAPSHOT, fall, until(1600), limits={"max_daily_loss_e8": 199 * E8}, manual=hands
    )
    assert breaches(played) == [(1200, "MAX_DAILY_LOSS", 200.0, 199.0, 0)]
    assert played.killed == (1200, "MAX_DAILY_LOSS")
    assert rows_of(played, "CANCEL_REQ", "PLACE") == [
        *((1000, 1, "PLACE"), (1000, 2, "PLACE"), (1010, 3, "PLACE")),
        *((1200, number, "CANCEL_REQ") for number in (1, 2, 3)),
    ]
    assert reason_rows(played)[-1] == (1500, 1, "SKIP", "max_daily_loss")
    assert play(BOTH, SNAPSHOT, fall, until(1600), limits={"max_daily_loss_e8": 200 * E8}).killed is None


def test_max_drawdown_kills_the_run(play):
    """Equity falls from a peak of 10,100 to 10,000: a drawdown of 100/10,100."""
    up, down = (1150, "snapshot", [(100, 5)], [(102, 5)]), (1250, "snapshot", [(99, 5)], [(101, 5)])
    cash = {"start_cash_e8": 0}
    share = 100 * E8 // 10_100
    played = play({}, SNAPSHOT, up, down, until(1400), limits={"max_drawdown_e8": share}, **cash)
    assert played.killed == (1300, "MAX_DRAWDOWN")
    assert play({}, SNAPSHOT, up, down, until(1400), limits={"max_drawdown_e8": share + 1}, **cash).killed is None


def test_daily_loss_restarts_at_midnight_in_berlin(play):
    """Losses before and after midnight belong to different days."""
    midnight = 23 * 3600 * SECOND_US  # of 1970-01-02 in Berlin, one hour ahead
    books = [
        (midnight + at, "snapshot", [(bid, 5)], [(bid + 2, 5)]) for at, bid in ((-300, 101), (-200, 100), (50, 98))
    ]
    limits = {"max_daily_loss_e8": 250 * E8}
    assert play({}, *books, until(midnight + 400), limits=limits).killed is None
    early = [(us - 1000, *book) for us, *book in books]
    assert play({}, *early, until(midnight - 500), limits=limits).killed == (midnight - 900, "MAX_DAILY_LOSS")


def test_resumed_run_uses_previous_day_and_peak_equity(play):
    """A resumed run: the day began 300 above the current equity, which includes 50 outside the engine's account."""
    limits = {"day_equity_e8": 10_350 * E8, "added_equity_e8": 50 * E8}
    played = play({}, SNAPSHOT, until(1010), limits=limits | {"max_daily_loss_e8": 299 * E8}, start_cash_e8=0)
    assert breaches(played) == [(1000, "MAX_DAILY_LOSS", 300.0, 299.0, 0)]
    peak = {"peak_equity_e8": 20_000 * E8, "max_drawdown_e8": 49_000_000}
    assert play({}, SNAPSHOT, until(1010), limits=peak, start_cash_e8=0).killed == (1000, "MAX_DRAWDOWN")


# Limits that widen the quotes


def test_widen_bands_move_quotes_away_from_the_mid(play):
    """100 of at most 200 lots are held, so the band from one half applies: distances of 2 become 3."""
    limits = {"max_position_e8": 200 * E8, "widen_bands": ((10_000_000, 1.0), (50_000_000, 1.5), (60_000_000, 9.0))}
    played = play(BOTH, SNAPSHOT, until(1300), limits=limits, target_lots=0)
    assert [row[5] for row in played.orders if row[2] == 0] == [97, 103]
    assert breaches(played) == [(1000, "WIDEN_BANDS", 0.5, 0.5, 0)]
    inside = play({1000: Quotes(101, 102)}, SNAPSHOT, until(1010), limits=limits, target_lots=0)
    assert [row[5] for row in inside.orders if row[2] == 0] == [101, 103]
    wanted = play(BOTH, SNAPSHOT, until(1300), limits=limits)  # all that is held
    assert [row[5] for row in wanted.orders if row[2] == 0] == [98, 102]


# Manual actions


def test_pull_and_resume_by_hand(play):
    """Quotes pulled at 1050 and resumed at 1250 return at the next requote; the order by hand is kept."""
    hands = [(1010, "place", 1, 90, 1, "LIMIT_MAKER"), (1050, "pull", "why"), (1250, "resume")]
    played = play(BOTH, SNAPSHOT, until(1310), limits={}, manual=hands)
    assert rows_of(played, "PLACE", "CANCEL_REQ") == [
        *((1000, 1, "PLACE"), (1000, 2, "PLACE"), (1010, 3, "PLACE")),
        *((1050, 1, "CANCEL_REQ"), (1050, 2, "CANCEL_REQ"), (1300, 4, "PLACE"), (1300, 5, "PLACE")),
    ]
    assert {row[3] for row in reason_rows(played)} == {"pulled"}
    assert breaches(played) == []


def test_kill_by_hand_cancels_all_orders(play):
    """Orders by hand are cancelled as well, and the first reason is kept."""
    hands = [(1010, "place", 1, 90, 1, "LIMIT_MAKER"), (1050, "kill", "so"), (1060, "kill", "other"), (1070, "resume")]
    played = play(BOTH, SNAPSHOT, until(1400), limits={}, manual=hands)
    assert rows_of(played, "CANCEL_REQ") == [(1050, number, "CANCEL_REQ") for number in (1, 2, 3)]
    assert played.killed == (1050, "so")
    assert len(rows_of(played, "PLACE")) == 3
