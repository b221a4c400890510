"""The mean price at the very edge of its window; the place of losing positions in the queue of deleveraging."""

import pytest

from mm.clock import US_PER_S
from mm.sim.exchange.trades import MarketTrade, TradeTape
from usdm_rig import ALICE, BOB, CAROL, Pit

WINDOW_US = 300 * US_PER_S


@pytest.mark.parametrize(("later_us", "expected"), [(WINDOW_US - 1, (300, 2)), (WINDOW_US, (200, 1))])
def test_a_trade_is_out_of_the_mean_price_when_it_is_as_old_as_the_window_is_long(later_us: int, expected) -> None:
    tape = TradeTape(5)
    tape.add(MarketTrade(1, 1_000, 100, 1, False))
    tape.add(MarketTrade(2, 2_000, 200, 1, False))
    assert tape.average(1_000 + later_us) == expected


def test_of_two_losing_positions_the_one_with_less_behind_it_is_deleveraged_first() -> None:
    """A loss is divided by the leverage: with the same loss in per cent, the smaller quotient is the worse place."""
    pit = Pit("alice", "bob", "carol")
    for who, wallet in ((ALICE, 1_000), (BOB, 100)):
        pit.wallet(who).balance_e8 = wallet * 10**8
        pit.trade(who, CAROL, 10_000, 1_000)
    pit.mark("99")
    assert pit.contract(ALICE).unrealised_e8 == pit.contract(BOB).unrealised_e8 < 0
    assert pit.exchange.rank(ALICE) < pit.exchange.rank(BOB) < 0


def test_of_two_winning_positions_the_one_with_less_behind_it_is_deleveraged_first() -> None:
    pit = Pit("alice", "bob", "carol")
    for who, wallet in ((ALICE, 1_000), (BOB, 100)):
        pit.wallet(who).balance_e8 = wallet * 10**8
        pit.trade(who, CAROL, 10_000, 1_000)
    pit.mark("101")
    assert pit.exchange.rank(BOB) > pit.exchange.rank(ALICE) > 0
