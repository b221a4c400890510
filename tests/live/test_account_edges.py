"""Edges of an account that is traded: blocked requests, modes of the account, marks, live state, filters of the box."""

from types import SimpleNamespace

import pytest
from test_account_session import Member, heard_of
from test_audit_at_start import Logs

from mm.instrument import E8, Instrument
from mm.live.state.tables import StoreUnavailable
from mm.live.state.writer import _Live
from mm.live.venues.binance_usdm import UsdmAccount
from mm.live.venues.canceller import SILENCE_S, NoAnswer, SignedRest
from mm.live.venues.keys import Credentials
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.parameters import RequestParameters
from mm.sim.exchange.usdm.contract_rules import ContractRules

GRID = Instrument("SIMUSDT", E8 // 100, E8 // 1_000, 5 * E8, "SIM", "USDT")


class Blocked:
    """A connection whose every answer is *status*, without Retry-After."""

    def __init__(self, status):
        self.answer = SimpleNamespace(status=status, headers={}, read=lambda: b"{}")

    def request(self, *_, **__): ...

    def getresponse(self):
        return self.answer


@pytest.mark.parametrize("status", SILENCE_S)
def test_silence_of_a_cancel_doubles_while_the_exchange_goes_on_to_block(status):
    """Its own Retry-After is missing: asked again and again in equal times, a ban of the address would follow."""
    rest, waits = SignedRest("http://127.0.0.1:9", Credentials("k", secret="s")), []
    rest._new = lambda: Blocked(status)
    for _ in range(3):
        rest._silent_until_s = 0.0
        with pytest.raises(NoAnswer) as blocked:
            rest.request("GET", "/api/v3/openOrders")
        waits.append(blocked.value.wait_s)
    assert waits == [min(SILENCE_S[status] * share, 600.0) for share in (1, 2, 4)]


def test_another_mode_of_the_account_is_told_to_every_symbol_and_a_leverage_to_its_own():
    for event, told in (({"ai": {"j": True}}, (1, 1)), ({"ac": {"s": "BOXUSDT", "l": 25}}, (0, 1))):
        one, other = Member("SIMUSDT"), Member("BOXUSDT")
        heard_of({"e": "ACCOUNT_CONFIG_UPDATE", "E": 5, "T": 5, **event}, one, other, venue=UsdmAccount())
        assert tuple([name for name, *_ in member.heard].count("setup_changed") for member in (one, other)) == told


def test_mark_of_the_day_is_carried_by_the_totals_of_a_later_log(tmp_path):
    """The start after a trade without any mark of its own still knows the peak."""
    logs = Logs(tmp_path / "BTCUSDT")
    logs.run([("mark", {"day": "20260105", "equity": "100", "peak": "120", "transfers": "7"})])
    logs.run([])
    found = logs.read().mark
    assert (found.day_equity_e8, found.peak_equity_e8, found.transfers_e8) == (100 * E8, 120 * E8, 7 * E8)


def test_state_that_was_refused_never_replaces_a_newer_one():
    """It was set while the store was away: what is published next is the newest of each key."""
    published = []

    def publish(documents, _ticks):
        if not published:
            published.append({})
            live.put("pnl", lambda: "new")
            raise StoreUnavailable("away")
        published.append(documents)

    live = _Live(SimpleNamespace(publish=publish), "SIMUSDT", 10)
    live.put("pnl", lambda: "old")
    live.put("lob", lambda: "kept")
    with pytest.raises(StoreUnavailable):
        live.send()
    assert live.send()
    assert published[1] == {"pnl": "new", "lob": "kept"}


def test_market_order_of_a_contract_has_a_bound_of_its_own():
    rules = ContractRules(instrument=GRID, reference_ticks=10_000, most_qty_e8=10 * E8)
    assert rules.lots(6 * E8) == 6_000
    assert rules.lots(5 * E8, market=True) == 5_000
    with pytest.raises(ApiError) as refused:
        rules.lots(6 * E8, market=True)
    assert refused.value.code == -4005


@pytest.mark.parametrize(("text", "last_us"), [("1700000000123", 1_700_000_000_123_999), ("1700000000123456", None)])
def test_end_of_a_span_in_milliseconds_includes_the_whole_one(text, last_us):
    """Trades have microseconds: those of the last millisecond would be left out."""
    assert RequestParameters({"endTime": text}, "SIMUSDT")["endTime"] == (last_us or int(text))
