"""What the session of an account concludes from answers, and tells to its symbols."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from gateway_rig import QuietLog
from played_api import PlayedApi

from mm.live.account.session import AccountSession
from mm.live.knobs import OrderAccess, VenueUrls
from mm.live.venues.balances import Transfer
from mm.live.venues.binance_spot import SpotAccount
from mm.live.venues.binance_usdm import UsdmAccount
from mm.live.venues.keys import Credentials
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.rest_api import Surroundings

URLS = VenueUrls("ws://127.0.0.1:9/ws-api/v3", "http://127.0.0.1:9", "ws://127.0.0.1:9")


def session_of(venue=None):
    around = Surroundings(limits=OrderLimits())
    return AccountSession(
        venue or SpotAccount(), URLS, Credentials("k", secret="s"), OrderAccess(), log=QuietLog(), around=around
    )


def test_a_key_is_refused_by_two_refusals_in_succession():
    """A single one may be a fault of the exchange's, and so may two with an answer between them."""
    session = session_of()
    for _ in range(5):
        session.key_answered(refusal="-2015 Invalid API-key")
        assert not session.rest_refused
        session.key_answered()
    session.key_answered(refusal="-2015 Invalid API-key")
    session.key_answered(refusal="-2015 Invalid API-key")
    assert session.rest_refused
    assert "-2015" in str(session.refused)


class Member:
    """A symbol of the account that keeps what it is told."""

    def __init__(self, symbol, shared=None):
        self.symbol, self.heard, self.booked = symbol, [], []
        shared = shared or SimpleNamespace()
        self.check = SimpleNamespace(shared=shared, transferred=self.booked.append)

    def __getattr__(self, name):
        return lambda *given: self.heard.append((name, *given))


def heard_of(event, *members, venue=None):
    """Return what symbols are told of an event of the account."""
    session = session_of(venue)
    session._members += members
    session.event(event["e"], msgspec.json.encode(event), 7)
    return session


def spot_execution(symbol):
    ids = {"c": "mm-a-1b", "C": "", "i": 5, "t": -1, "T": 1, "E": 1}
    return {"e": "executionReport", "s": symbol, "S": "BUY", "x": "NEW", "X": "NEW", "q": "1", **ids}


def test_an_event_of_an_order_is_told_to_its_symbol_alone():
    one, other = Member("SIMUSDT"), Member("BOXUSDT")
    heard_of(spot_execution("BOXUSDT"), one, other)
    assert one.heard == []
    assert [(name, us) for name, _, us in other.heard] == [("order_event", 7)]


def test_an_event_that_cannot_be_read_lets_every_symbol_reconcile():
    one, other = Member("SIMUSDT"), Member("BOXUSDT")
    heard_of({"e": "executionReport", "s": 7}, one, other)
    assert [[name for name, *_ in member.heard] for member in (one, other)] == [["events_lost"], ["events_lost"]]


def test_a_transfer_is_booked_once_for_symbols_that_share_the_account():
    """Each of two accounts has its own balances."""
    shared = SimpleNamespace()
    one, other, alone = Member("SIMUSDT", shared), Member("BOXUSDT", shared), Member("ANYUSDT")
    heard_of({"e": "balanceUpdate", "a": "USDT", "d": "5", "T": 1}, one, other, alone)
    assert len(one.booked + other.booked) == len(alone.booked) == 1
    assert isinstance(alone.booked[0], Transfer)


def account_update(reason):
    parts = {"B": [{"a": "USDT", "wb": "9", "bc": "0"}], "P": [{"s": "SIMUSDT", "pa": "-2"}]}
    return {"e": "ACCOUNT_UPDATE", "T": 3, "a": {"m": reason, **parts}}


def test_a_payment_is_announced_to_every_symbol_and_a_trade_is_none():
    for reason, due in (("FUNDING_FEE", 1), ("ORDER", 0)):
        one, other = Member("SIMUSDT"), Member("BOXUSDT")
        session = heard_of(account_update(reason), one, other, venue=UsdmAccount())
        for member in (one, other):
            names = [name for name, *_ in member.heard]
            assert (names.count("payments_due"), names.count("balances_changed")) == (due, 1)
        assert session.holdings.balances == {"USDT": ("9", "0"), "SIMUSDT": ("-2", "0")}


def test_a_margin_call_is_told_to_the_symbols_that_it_names():
    one, other = Member("SIMUSDT"), Member("BOXUSDT")
    heard_of({"e": "MARGIN_CALL", "E": 5, "p": [{"s": "BOXUSDT", "pa": "1"}]}, one, other, venue=UsdmAccount())
    assert one.heard == []
    assert [name for name, *_ in other.heard] == ["margin_called"]


def test_a_lost_connection_lets_older_balances_count_again():
    """The next answer may be of a server whose clock is behind: it must not be taken for old news."""
    session = session_of()
    session.holdings.changed({"USDT": ("5", "0")}, 10**15)
    session.disconnected("gone")
    session.holdings.answered({"USDT": ("7", "0")}, 10, 20)
    assert session.holdings.balances == {"USDT": ("7", "0")}


class Timed:
    """The REST of an exchange that tells its time."""

    up = True

    def __init__(self, server_us):
        self.server_us = server_us

    def request(self, route, parameters, done):
        played = PlayedApi()
        played.request(route, parameters, done)
        played.answer({"serverTime": self.server_us})
        return 0

    async def close(self):
        pass


@pytest.mark.parametrize(("behind_s", "counts"), [(5, "7"), (0, "5")])
def test_a_clock_of_the_exchange_that_was_set_back_lets_older_balances_count(behind_s, counts):
    """By the new clock, what is told next seems to be of an instant before what is known."""
    now_us = 10**15
    around = Surroundings(limits=OrderLimits(), clock=lambda: now_us)
    key = Credentials("k", secret="s")

    async def scenario():
        session = AccountSession(SpotAccount(), URLS, key, OrderAccess(), log=QuietLog(), around=around)
        session.rest = Timed(now_us - behind_s * 1_000_000)
        session.holdings.changed({"USDT": ("5", "0")}, now_us + 30_000_000)
        session.clock.doubted()
        await asyncio.sleep(0.01)
        session.holdings.answered({"USDT": ("7", "0")}, now_us - 1, now_us)
        await session.close()
        return session

    assert asyncio.run(scenario()).holdings.balances == {"USDT": (counts, "0")}
