"""A gateway of a contract at the exchange in a box, in one loop: what happens to its account, and its books."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from gateway_rig import ALICE, BOB, FollowingListener, LoneGateway, MemoryAudit, Rig, credentials, run_of, urls

from mm.errors import Mismatch, TryLater
from mm.instrument import E8, e8
from mm.live.account.account_check import AccountCheck
from mm.live.account.ledger import Ledger
from mm.live.audit.books import AuditOrder
from mm.live.knobs import Contracts
from mm.live.orders.reports import OrderListener
from mm.live.venues.binance_usdm import UsdmAccount
from mm.sim.exchange.orders import NewOrder
from mm.sim.exchange.usdm.conditional import MARK_PRICE
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.wire.usdm.market import UsdmMarket
from simulation import make_box

TOLD = ("position", "margin", "margin_called", "forced", "countdown", "protective_stop", "paid", "untraded")
STP = {"stp": "EXPIRE_MAKER"}
FUNDS_E8 = 10**6 * E8


class Listener(FollowingListener, OrderListener):
    """Also keeps what it is told of the contract, by name."""

    def __init__(self):
        super().__init__()
        self.told = {}

    def _keep(self, name, *what):
        self.told.setdefault(name, []).append(what)

    def __getattribute__(self, name):
        if name in (
            "position",
            "margin",
            "margin_called",
            "forced",
            "countdown",
            "protective_stop",
            "paid",
            "untraded",
        ):
            return lambda *what: self._keep(name, *what)
        return super().__getattribute__(name)


class ContractRig(Rig):
    """One gateway of a contract, and its exchange.

    Attributes:
        ledger: The book of the account, in which the gateway books.
    """

    def __init__(self, box, gateway, audit, listener, ledger):
        super().__init__(box, gateway, audit, listener)
        self.exchange, self.ledger, self.withdrawn_e8 = box.exchange, ledger, 0

    def bob(self, side, ticks, lots, **more):
        new = NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots, **STP, **more)
        return self.exchange.place(self.exchange.now_us, BOB, new)

    async def holds(self, lots, ticks=10_000):
        """Let an order of ours be filled: a position of so many lots at a price; bob quotes around it then."""
        side = 1 if lots > 0 else -1
        number = len(self.listener.state) + 900
        self.gateway.orders.place(number, side, f"{ticks / 100:.2f}", f"{abs(lots) / 1_000:g}", "LIMIT_MAKER")
        await self.until(lambda: self.listener.state.get(number) == "open")
        self.bob(-side, ticks, abs(lots), time_in_force="IOC")
        self.bob(1, ticks - 10, 50_000)
        self.bob(-1, ticks + 10, 50_000)
        await self.until(lambda: self.listener.state.get(number) == "FILLED" or self.listener.fills)

    @property
    def contract(self):
        return self.exchange.account(ALICE).contract

    def mark(self, price):
        self.exchange.set_mark(e8(price))

    async def rows(self, kind, count=1, **fields):
        """Wait until the audit log has so many rows of a kind with some values; return them."""

        def found():
            return [row for row in self.audit.of(kind) if fields.items() <= row.items()]

        await self.until(lambda: len(found()) >= count, 60)
        return found()

    def check(self):
        """Compare trades, position and wallet of the ledger with the exchange's own, to the last decimal."""
        theirs = [one.trade_id for one in self.exchange.users.fills(ALICE)]
        assert [row["trade_id"] for row in self.audit.of("fill")] == theirs
        assert self.ledger.position_e8 == self.contract.amount_e8
        assert self.ledger.wallet_e8 == self.wallet_e8
        assert self.exchange.users.open(ALICE) == []

    @property
    def wallet_e8(self):
        """What trading has changed the wallet by, at the exchange."""
        return self.exchange.wallet(ALICE).balance_e8 - FUNDS_E8 + self.withdrawn_e8

    def withdraw(self, amount):
        self.withdrawn_e8 += e8(amount)
        self.exchange.transfer(ALICE, "USDT", -e8(amount))


def begun(box, *, adopt=False, earlier=(), runs=(), **contract):
    """Return a gateway of alice that is not started, its audit log, listener and ledger."""
    audit, listener, grid = MemoryAudit(), Listener(), box.exchange.rules.instrument
    ledger = Ledger(grid, contract=True)
    run = run_of(adopt=adopt, reconcile_interval_s=1.0, recv_window_ms=5_000)
    check = AccountCheck(grid, None, adopts=adopt, ledger=ledger)
    run = replace(run, contract=Contracts(**contract), account=check, earlier=earlier, runs=runs)
    gateway = LoneGateway(urls(box), credentials(box), run, audit, venue=UsdmAccount())
    gateway.reports.attach(listener)
    return ContractRig(box, gateway, audit, listener, ledger)


@asynccontextmanager
async def opened(**terms):
    """Yield the exchange in a box, whose book is empty; *terms* are those of its contracts."""
    async with make_box(limits=False, market=UsdmMarket(UsdmTerms(**terms))).open() as box:
        yield box


def played(scenario, *, terms=None, **options):
    """Play a scenario with a rig whose gateway is ready, and end it."""

    async def main():
        async with opened(**terms or {}) as box:
            rig = begun(box, **options)
            try:
                await rig.gateway.start()
                await scenario(rig)
            finally:
                await rig.gateway.stop()
            return rig

    return asyncio.run(main())


def quoted(rig, number=1, price="99"):
    """Place a bid away from the market."""
    rig.gateway.orders.place(number, 1, price, "0.1", "LIMIT_MAKER")
    return rig.until(lambda: rig.listener.state.get(number, "") in ("open", "rejected"))


def test_hedge_mode_in_the_middle_stops_orders_until_it_is_off_again():
    """The exchange tells it by no event: the refusal of the next order does."""

    async def scenario(rig):
        rig.exchange.set_hedged(rig.exchange.now_us, ALICE, True)
        await quoted(rig)
        assert rig.listener.state[1] == "rejected"
        (row,) = await rig.rows("breach", limit="SETUP")
        assert "hedge mode" in row["message"]
        await rig.until(lambda: not rig.gateway.readiness.ready)
        asked = len(rig.exchange.users.all(ALICE))
        await quoted(rig, 2)
        assert (rig.listener.state[2], len(rig.exchange.users.all(ALICE))) == ("rejected", asked)
        assert "hedge mode" in str(rig.gateway.readiness.differs)
        rig.exchange.set_hedged(rig.exchange.now_us, ALICE, False)
        rig.gateway._events.setup_changed()
        await rig.until(lambda: rig.gateway.readiness.ready)
        await quoted(rig, 3)
        assert (rig.listener.state[3], rig.gateway.readiness.differs) == ("open", None)
        assert len(rig.audit.of("breach")) == 1

    played(scenario).check()


@pytest.mark.parametrize(("wanted", "stops"), [(None, False), (20, True)])
def test_leverage_that_is_changed_by_hand_is_said_and_stops_orders_only_where_it_is_asked_for(wanted, stops):
    async def scenario(rig):
        rig.exchange.set_leverage(rig.exchange.now_us, ALICE, 7)
        await rig.until(lambda: rig.gateway.contract.setup.leverage == 7)
        await rig.until(lambda: rig.gateway.readiness.ready is not stops)
        (said,) = [numbers for event, numbers in rig.gateway.log.lines if event == "setup_changed"]
        assert said["leverage"] == "20 to 7"
        await quoted(rig)
        assert rig.listener.state[1] == ("rejected" if stops else "open")

    played(scenario, leverage=wanted).check()


@pytest.mark.parametrize("lots", [700, -700])
@pytest.mark.parametrize("closes", [True, False])
def test_kill_closes_a_position_after_the_cancels_only_where_it_is_told_to(closes, lots):
    """By one order that can only reduce; the exchange's countdown is ended once nothing is open."""

    async def scenario(rig):
        await rig.holds(lots)
        await quoted(rig)
        rig.gateway.ending.kill()
        await rig.gateway.stop()

    rig = played(scenario, kill_closes=closes)
    rig.check()
    assert rig.contract.lots == (0 if closes else lots)
    rows = [row for row in rig.audit.of("intent") if row["action"] == "place"]
    assert [row.get("reduces", False) for row in rows] == [False, False] + [True] * closes
    cancels = [at for at, row in enumerate(rig.audit.rows) if row["type"] == "intent" and row["action"] == "cancel"]
    assert not closes or cancels[-1] < rig.audit.rows.index(rows[-1])
    assert rig.listener.told["countdown"][-1] == (0,)
    assert rig.listener.told["countdown"][0] > (rig.exchange.now_us,)


def test_position_is_not_closed_without_an_audit_log():
    """The order could not be booked by the next start."""

    async def scenario(rig):
        await rig.holds(700)
        rig.audit.failure = OSError("full")
        rig.gateway.ending.kill()
        await rig.gateway.stop()

    rig = played(scenario, kill_closes=True)
    assert rig.contract.lots == 700
    assert "position_not_closed" in [event for event, _ in rig.gateway.log.lines]


def test_margin_call_and_liquidation_are_booked_as_the_exchanges_own():
    """A call first; then it closes the position: said by name, and wallet and position are its own again."""

    async def scenario(rig):
        rig.withdraw("999990")
        await rig.holds(1_000)
        rig.mark("90.41")  # of 10 are .39 left, and .362 is needed
        (row,) = await rig.rows("breach", limit="MARGIN_CALL")
        assert rig.listener.told["margin_called"]
        assert rig.contract.lots == 1_000
        rig.mark("89")
        (row,) = await rig.rows("breach", limit="FORCED")
        assert "1 by " in row["message"]
        await rig.until(lambda: not rig.ledger.position_e8 and len(rig.audit.of("fill")) == 2)
        assert len(rig.listener.told["forced"]) == 1
        await rig.until(lambda: rig.ledger.wallet_e8 == rig.wallet_e8, 20)

    played(scenario).check()


def test_funding_is_booked_once_by_the_exchanges_number():
    """As much as the exchange has charged; the position has paid, and rows and listener say so."""

    async def scenario(rig):
        await rig.holds(2_000)
        paid = lambda: [one for one in rig.exchange.wallet(ALICE).income if one.kind == "FUNDING_FEE" and one.amount_e8]  # noqa: E731
        await rig.until(lambda: len(paid()) >= 2, 60)
        await rig.rows("payment", 2)
        await rig.until(lambda: len(rig.audit.of("payment")) == len(paid()))
        rows = rig.audit.of("payment")
        assert len({row["id"] for row in rows}) == len(rows) == len(rig.listener.told["paid"])
        assert [e8(row["amount"]) for row in rows] == [one.amount_e8 for one in paid()] == [-2 * 10**6, -2 * 10**6]
        rig.gateway.ending.kill()

    played(scenario, terms={"interval_us": 3_000_000}, kill_closes=True)


def test_protective_stop_rests_for_a_position_and_closes_it_by_the_mark_price():
    """What it sells is booked as forced; once flat none rests."""

    async def scenario(rig):
        await rig.holds(500)
        waiting = lambda: rig.exchange.conditionals.open(ALICE)  # noqa: E731
        await rig.until(lambda: rig.listener.told["protective_stop"][-1] == (95 * E8,), 30)
        (stop,) = waiting()
        assert stop.working == MARK_PRICE
        rig.mark("94.9")
        (row,) = await rig.rows("breach", limit="FORCED")
        assert "protective stop" in row["message"]
        await rig.until(lambda: rig.listener.told["protective_stop"][-1] == (None,), 30)
        assert waiting() == []

    rig = played(scenario, protective_stop="0.05")
    rig.check()
    assert rig.contract.lots == 0


@pytest.mark.parametrize("adopt", [False, True])
def test_open_orders_of_others_end_a_start_unless_they_are_adopted(adopt):
    """Their fills would change the position."""

    async def main():
        async with opened() as box:
            new = NewOrder(side=1, type="LIMIT", ticks=9_500, lots=300, client_id="web_1", **STP)
            box.exchange.place(box.exchange.now_us, ALICE, new)
            rig = begun(box, adopt=adopt)
            try:
                if adopt:
                    await rig.gateway.start()
                    await rig.until(lambda: not rig.at_exchange())
                    return
                with pytest.raises(Mismatch, match="1 open orders are of somebody else"):
                    await rig.gateway.start()
            finally:
                await rig.gateway.stop()
            assert [one.client_id for one in rig.at_exchange()] == ["web_1"]

    asyncio.run(main())


def test_start_in_a_halt_cancels_what_an_earlier_run_has_left():
    """And ends with what a supervisor repeats."""

    async def main():
        async with opened() as box:
            ours = NewOrder(side=1, type="LIMIT", ticks=9_500, lots=300, client_id="mm-abcdefghijklm-1b", **STP)
            box.exchange.place(box.exchange.now_us, ALICE, ours)
            box.exchange.rules = box.exchange.rules.of_status("PENDING_TRADING")
            terms = {"symbol": "SIMUSDT", "side": "BUY", "price": "95", "qty": "0.3", "status": "NEW", "run_id": "r"}
            left = AuditOrder("mm-abcdefghijklm-1b", None, us=box.exchange.now_us, **terms)
            rig = begun(box, earlier=[left], runs=["mm-abcdefghijklm"])
            with pytest.raises(TryLater, match="does not trade"):
                await rig.gateway.start()
            assert rig.at_exchange() == []
            assert [row["client_id"] for row in rig.audit.of("cancel")] == ["mm-abcdefghijklm-1b"]
            await rig.gateway.stop()

    asyncio.run(main())


def test_symbol_that_stops_trading_in_the_middle_is_told():
    async def scenario(rig):
        rig.exchange.rules = rig.exchange.rules.of_status("PENDING_TRADING")
        await quoted(rig)
        assert rig.listener.state[1] == "rejected"
        await rig.until(lambda: "untraded" in rig.listener.told)
        rig.exchange.rules = rig.exchange.rules.of_status("TRADING")

    played(scenario).check()


def test_changed_grid_is_named_with_both_steps():
    async def scenario(rig):
        grid = rig.exchange.rules.instrument
        rig.exchange.rules = replace(rig.exchange.rules, instrument=replace(grid, tick_e8=5 * grid.tick_e8))
        rig.gateway.rules.doubt()
        await rig.until(lambda: rig.gateway.rules.regridded)
        assert "tick_size from 0.01 to 0.05" in str(rig.gateway.rules.regridded)

    played(scenario)
