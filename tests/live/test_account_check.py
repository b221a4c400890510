"""The balances of the account against our own fills: a difference counts once it is confirmed, and is named."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gateway_rig import ALICE, QuietLog, trading

from mm.instrument import E8, Instrument
from mm.live.account.account_check import ADOPTED, CONFIRMATIONS, FOUND, MOST_DIFFERING, AccountCheck, SharedBalances
from mm.live.account.ledger import Ledger
from mm.live.run.trade_run import TradeRun
from mm.live.venues.balances import Transfer
from mm.live.venues.fills import AccountFill

GRID = Instrument("SIMUSDT", 1, 1, 0, "SIM", "USDT")
FILL = AccountFill(1, 2, "mm-1-1b", 1, "100", "2", "0.002", "SIM", 5, maker=True)


def balances(base, quote):
    return {"SIM": (base, "0.5"), "USDT": (quote, "1")}


def test_balances_follow_our_fills_including_commissions():
    check = AccountCheck(GRID, (10 * E8, 1_000 * E8))
    check.filled(FILL)
    check.filled(FILL)  # reported twice
    check.compare(balances("11.498", "799"))
    assert check.found
    assert not check.pending


def connected(begin_e8=(10 * E8, 1_000 * E8), **terms):
    """Return the check of a connection that has matched, and has lost no event since."""
    check = AccountCheck(GRID, begin_e8, **terms)
    check.compare({"SIM": ("10", "0"), "USDT": ("1000", "0")})
    assert check.found
    return check


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ((), "SIM USDT"),
        (("BTCUSDT",), "SIM"),
        (("SIMBTC",), "USDT"),
        (("SIMBTC", "BTCUSDT"), ""),
        (("ABCD",), "SIM USDT"),
    ],
)
def test_assets_that_other_traders_of_this_host_trade_are_not_compared(others, told):
    """Their fills are in no log here; all other assets are compared."""
    knobs = SimpleNamespace(contracts=None, access=SimpleNamespace(adopt=False))
    at = SimpleNamespace(symbols=["SIMUSDT"], balances=SharedBalances())
    log = SimpleNamespace(log=QuietLog())
    trade = SimpleNamespace(knobs=knobs, at=at, symbol="SIMUSDT", run=log, _other_symbols=lambda: set(others))
    history = SimpleNamespace(begin_e8=(10 * E8, 1_000 * E8), books=SimpleNamespace(ledger=Ledger(GRID)))
    check = TradeRun._account_check(trade, history, GRID)
    check.compare({"SIM": ("10", "0"), "USDT": ("1000", "0")})
    for _ in range(CONFIRMATIONS):
        check.compare({"SIM": ("9", "0"), "USDT": ("900", "0")})
    assert [asset for asset in ("SIM", "USDT") if f" {asset} at the exchange" in check.why] == told.split()


def test_trader_that_begins_later_is_found_at_the_next_comparison():
    """Its fills are no difference, and after a time without events no transfer."""
    others = set()
    booked, check = [], connected(left_out=lambda: ["USDT"] if others else [])
    check.booked = booked.append
    others.add("BOXUSDT")
    check.disconnected()
    for _ in range(2 * CONFIRMATIONS):
        check.compare({"SIM": ("10", "0"), "USDT": ("991.1", "0")})
        assert not check.pending
    assert (check.why, booked) == ("", [])


def test_difference_counts_once_it_is_seen_several_times_alike():
    """A fill may be in a balance before its report is here."""
    check = connected()
    for base in ("9.6", *["9.7"] * (CONFIRMATIONS - 1)):
        check.compare(balances(base, "999"))
        assert check.pending
        assert not check.why
    check.compare(balances("9.7", "999"))
    assert check.why == "the account differs: 10.20000000 SIM at the exchange, 10.00000000 by the audit log"
    check.compare(balances("9.5", "999"))
    assert (check.why, check.found) == ("", True)


def test_differences_that_keep_changing_count_too():
    """Another program trades on the account all the time."""
    check = AccountCheck(GRID, (10 * E8, 1_000 * E8))
    for at in range(MOST_DIFFERING):
        assert not check.why
        check.compare(balances(f"{20 + at}", "999"))
    assert check.why


def test_assets_of_other_traders_are_not_compared():
    check = AccountCheck(GRID, (10 * E8, 1_000 * E8), left_out=lambda: ["USDT"])
    check.compare(balances("9.5", "5"))
    assert check.found


def test_first_balances_begin_the_ledger_before_the_fills_in_them():
    check = AccountCheck(GRID, None)
    check.filled(FILL)
    check.compare(balances("11.498", "799"))
    assert check.begin_e8 == (10 * E8, 1_000 * E8)


def test_difference_is_adopted_only_before_the_first_match():
    booked = []
    check = AccountCheck(GRID, (10 * E8, 1_000 * E8), adopts=True)
    check.booked, check.strangers = booked.append, True
    for _ in range(CONFIRMATIONS):
        check.compare(balances("12.5", "998"))
    assert (check.found, check.why) == (True, "")
    assert booked == [Transfer("SIM", 3 * E8, ADOPTED), Transfer("USDT", -1 * E8, ADOPTED)]
    for _ in range(CONFIRMATIONS):
        check.compare(balances("13.5", "998"))
    assert "14.00000000 SIM at the exchange, 13.00000000 by the audit log" in check.why


def test_gateway_is_not_ready_while_the_account_differs():
    """And it is again once the account has what it must have."""

    async def scenario():
        check = AccountCheck(GRID, None)
        access = {"reconcile_interval_s": 1.0}
        async with trading(account=check, access=access) as rig:
            account = rig.box.exchange.accounts[ALICE]
            account.base.free += E8
            await rig.until(lambda: not rig.gateway.readiness.ready)
            assert "the account differs: 1001.00000000 SIM" in rig.listener.ready[-1][1]
            rig.gateway.orders.place(1, 1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "rejected")
            assert [row["limit"] for row in rig.audit.of("breach")] == ["ACCOUNT"]
            account.base.free -= E8
            await rig.until(lambda: rig.gateway.readiness.ready)

    asyncio.run(scenario())


def test_an_asset_of_several_symbols_follows_the_fills_of_all():
    """What is found at the start counts; one differing symbol names the asset, and each of them finds it."""
    shared = SharedBalances()
    other = Instrument("BOXUSDT", 1, 1, 0, "BOX", "USDT")
    first, second = (AccountCheck(grid, (0, 0), shared=(["USDT"], shared)) for grid in (GRID, other))
    for check in (first, second, first):
        check.compare({"USDT": ("1000", "0")})
        assert check.found
    second.filled(replace(FILL, commission_asset="BOX", commission="0"))
    first.compare({"USDT": ("800", "0")})
    assert not first.pending
    for _ in range(CONFIRMATIONS):
        first.compare({"USDT": ("790", "0")})
        second.compare({"BOX": ("2", "0"), "USDT": ("790", "0")})
    assert first.why == second.why
    assert first.why.endswith("790.00000000 USDT at the exchange, 800.00000000 by the audit logs of all symbols")
    shared.elsewhere = lambda: True
    first.compare({"USDT": ("790", "0")})
    assert first.why == ""


def test_a_shared_asset_that_keeps_changing_is_not_judged():
    """Fills of another symbol move it at any time before they are reported: only what stays the same counts."""
    shared = SharedBalances()
    check = AccountCheck(GRID, (0, 0), shared=(["USDT"], shared))
    for held in (1_000, 1_000, *range(2 * MOST_DIFFERING)):
        check.compare({"USDT": (str(held), "0")})
        assert check.why == ""


def test_a_balance_ahead_of_its_fill_is_no_start_of_a_shared_asset():
    shared = SharedBalances()
    check = AccountCheck(GRID, (0, 0), shared=(["USDT"], shared))
    for held in ("1000", "800"):  # the second with a fill that is reported later
        check.compare({"USDT": (held, "0")})
    check.filled(replace(FILL, commission="0"))
    for _ in range(2):
        check.compare({"SIM": ("2", "0"), "USDT": ("800", "0")})
    assert check.found
    for _ in range(CONFIRMATIONS):
        check.compare({"SIM": ("2", "0"), "USDT": ("801", "0")})
    assert "801.00000000 USDT at the exchange, 800.00000000" in check.why


def test_balances_ahead_of_other_symbols_fills_are_no_difference():
    """However often they are: reports of another connection are later, each time by other fills."""
    shared = SharedBalances()
    check = AccountCheck(GRID, (0, 0), shared=(["USDT"], shared))
    for held in (1000, 1000, *range(999, 999 - 3 * MOST_DIFFERING, -1)):
        check.compare({"USDT": (str(held), "0")})
        assert not check.why


def test_a_transfer_is_expected_from_its_event_on_and_counts_once():
    """However often and on how many connections it is reported, also by a symbol that does not trade the asset."""
    shared = SharedBalances()
    other = Instrument("BOXUSDT", 1, 1, 0, "BOX", "USDT")
    checks = [AccountCheck(grid, (0, 0), shared=(["USDT"], shared)) for grid in (GRID, other)]
    booked = [[], []]
    for check, found in zip(checks, booked, strict=True):
        check.booked = found.append
    for _ in range(2):
        for check in checks:
            check.compare({"USDT": ("1000", "0")})
    for check in (*checks, *checks):
        check.transferred(Transfer("USDT", -300 * E8, "balanceUpdate", 77))
        check.transferred(Transfer("SIM", 5 * E8, "balanceUpdate", 78))
        check.transferred(Transfer("BNB", 9 * E8, "balanceUpdate", 79))
    for check in checks:
        check.compare({"USDT": ("700", "0"), "SIM": ("5", "0"), "BNB": ("9", "0")})
        assert (check.why, check.pending) == ("", False)
    usdt, sim = Transfer("USDT", -300 * E8, "balanceUpdate", 77), Transfer("SIM", 5 * E8, "balanceUpdate", 78)
    assert booked == [[usdt, sim], [usdt]]


def test_a_difference_after_lost_events_is_a_transfer_unless_somebody_else_trades():
    for strangers in (False, True):
        check, booked = connected(), []
        check.booked, check.missed, check.strangers = booked.append, True, strangers
        for _ in range(CONFIRMATIONS):
            check.compare(balances("9.7", "999"))
        assert booked == ([] if strangers else [Transfer("SIM", E8 // 5, FOUND)])
        assert bool(check.why) is strangers
        check.compare(balances("9.7", "999"))
        assert bool(check.why) is strangers


def test_a_stranger_of_before_the_last_match_does_not_forbid_a_later_transfer():
    """What that one has done is in the balances that matched."""
    check, booked = connected(), []
    check.booked, check.strangers = booked.append, True
    check.compare(balances("9.5", "999"))
    check.disconnected()
    for _ in range(CONFIRMATIONS):
        check.compare(balances("9.7", "999"))
    assert booked == [Transfer("SIM", E8 // 5, FOUND)]


def test_a_difference_found_while_nothing_was_lost_is_no_transfer():
    check, booked = connected(), []
    check.booked = booked.append
    for _ in range(MOST_DIFFERING):
        check.compare(balances("9.7", "999"))
    assert (booked, bool(check.why)) == ([], True)


def test_an_asset_of_several_symbols_was_transferred_only_if_no_connection_was_there():
    for missed in ((True, False), (True, True)):
        shared = SharedBalances()
        other = Instrument("BOXUSDT", 1, 1, 0, "BOX", "USDT")
        checks = [AccountCheck(grid, (0, 0), shared=(["USDT"], shared)) for grid in (GRID, other)]
        for check in (*checks, *checks):
            check.compare({"USDT": ("1000", "0")})
        for check, lost in zip(checks, missed, strict=True):
            check.missed = lost
        for _ in range(CONFIRMATIONS):
            checks[0].compare({"USDT": ("1100", "0")})
        assert bool(checks[0].why) is (not all(missed))


@pytest.mark.parametrize("shares", [True, False])
def test_only_a_difference_of_what_symbols_do_not_share_lasts_until_the_next_start(shares):
    """Shared money is found anew at a start, which the end of a trade must not call refused."""
    shared = (["USDT"], SharedBalances([GRID.symbol])) if shares else None
    check = AccountCheck(GRID, (0, 1_000 * E8), shared=shared)
    for quote in (1_000, 1_000, 900, 900, 900):
        check.strangers = True
        check.compare({"SIM": ("0", "0"), "USDT": (str(quote), "0")})
    assert "900" in check.why
    assert check.lasts is not shares


def test_fills_that_another_symbol_has_not_asked_for_yet_are_no_transfer():
    """Neither at a start, in which each symbol books what a killed run missed, nor after all connections were lost."""
    other, late = Instrument("BOXUSDT", 1, 1, 0, "BOX", "USDT"), replace(FILL, commission="0")
    shared = SharedBalances(["SIMUSDT", "BOXUSDT"])
    terms = {"adopts": True, "shared": (["USDT"], shared)}
    first = AccountCheck(GRID, (0, 0), **terms)
    for _ in range(CONFIRMATIONS):
        first.compare({"USDT": ("800", "0")})
    second = AccountCheck(other, (0, 0), **terms)
    first.compare({"USDT": ("800", "0")})
    booked = []
    first.booked = second.booked = booked.append
    second.filled(late)
    for check in (second, first, second):
        check.compare({"BOX": ("2", "0"), "USDT": ("800", "0")})
    for check in (first, second):
        check.disconnected()
    for _ in range(CONFIRMATIONS):
        first.compare({"USDT": ("600", "0")})
        assert first.pending
    second.filled(replace(late, trade_id=late.trade_id + 1))
    for check in (second, first):
        check.compare({"BOX": ("4", "0"), "USDT": ("600", "0")})
        assert (check.why, check.pending) == ("", False)
    assert booked == []


def test_a_deposit_is_booked_by_its_event_and_quotes_go_on():
    """Over the WebSocket of an exchange in a box; a withdrawal too, and dust that is not ours changes nothing."""

    async def scenario():
        ledger = Ledger(GRID)
        check = AccountCheck(GRID, None, ledger=ledger)
        async with trading(account=check, access={"reconcile_interval_s": 1.0}) as rig:
            for asset, amount_e8 in (("USDT", 500 * E8), ("SIM", -3 * E8), ("USDT", -E8 // 3)):
                rig.box.exchange.transfer(ALICE, asset, amount_e8)
            await rig.until(lambda: len(rig.audit.of("transfer")) == 3)
            for _ in range(2):
                rig.gateway.orders.queries.due.set()
                await asyncio.sleep(0.3)
            assert rig.gateway.readiness.ready
            assert [ready for ready, _ in rig.listener.ready] == [True]
            assert ledger.transfers_e8 == {"USDT": 500 * E8 + -E8 // 3, "SIM": -3 * E8}
            assert (ledger.position_e8, ledger.cash_e8) == (0, 0)
            rows = [(row["asset"], row["amount"], row["source"]) for row in rig.audit.of("transfer")]
            assert rows[0] == ("USDT", "500.00000000", "balanceUpdate")

    asyncio.run(scenario())
