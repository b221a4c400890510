"""The account's balances, in whatever order and by whatever route the exchange tells them."""

import asyncio

from gateway_rig import trading
from test_gateway import bob

from mm.clock import US_PER_S
from mm.live.account.holdings import SETTLED_US, Holdings
from mm.live.knobs import OrderAccess
from simulation import inject


def test_the_younger_balance_counts_whichever_is_told_last():
    """Each asset for itself; an answer of long after an event has the event in it, whatever instant it names."""
    held = Holdings()
    held.answered({"SIM": ("5", "0"), "USDT": ("100", "0")}, 10, 11)
    held.changed({"USDT": ("80", "20")}, 20)
    held.answered({"SIM": ("6", "0"), "USDT": ("100", "0")}, 15, 30)
    assert held.balances == {"SIM": ("6", "0"), "USDT": ("80", "20")}
    held.changed({"SIM": ("4", "0"), "USDT": ("1", "1")}, 14)
    assert held.balances == {"SIM": ("6", "0"), "USDT": ("80", "20")}
    held.changed({"USDT": ("75", "25")}, 20)  # two trades of one instant
    assert held.balances["USDT"] == ("75", "25")
    held.answered({"USDT": ("70", "0")}, 15, 21 + SETTLED_US)
    assert held.balances == {"USDT": ("70", "0")}


def test_after_a_lost_connection_the_next_answer_counts():
    """Events are lost meanwhile, so that none of before is known to be the newest."""
    held = Holdings()
    held.changed({"USDT": ("80", "20")}, 20)
    held.interrupted()
    held.answered({"USDT": ("100", "0")}, 15, 30)
    assert held.balances == {"USDT": ("100", "0")}


def test_an_answer_that_names_an_instant_to_come_is_of_its_own():
    """The account last changed before the exchange's clock was set back: what follows is no older news."""
    held, hour_us, now_us = Holdings(), 3_600 * US_PER_S, 10**15
    held.changed({"USDT": ("90", "0")}, now_us + hour_us)
    held.interrupted()
    held.answered({"USDT": ("90", "0"), "SIM": ("5", "0")}, now_us + hour_us, now_us)
    held.changed({"USDT": ("80", "0")}, now_us + US_PER_S)
    held.answered({"USDT": ("80", "0"), "SIM": ("6", "0")}, now_us + US_PER_S, now_us + 2 * US_PER_S)
    assert held.balances == {"USDT": ("80", "0"), "SIM": ("6", "0")}


def test_a_late_answer_or_event_does_not_undo_a_fill():
    """Over the sockets of an exchange in a box: what tells of before a purchase arrives after it."""

    async def scenario():
        async with trading(access=OrderAccess(reconcile_interval_s=1_000)) as rig:
            bases = []
            rig.listener.funds = lambda base_e8, _: bases.append(base_e8)
            rig.gateway.orders.place(1, 1, "100.00", "5.000", "LIMIT")
            await rig.until(lambda: rig.listener.state.get(1) == "open" and bases)
            for fault in ("ack_late path=account.status delay_s=0.8", "lag of=user delay_s=0.8 for_s=1"):
                inject(rig.box, f"at time 0 do {fault}")
                rig.gateway.orders.queries.due.set()
                await asyncio.sleep(0.3)
                bought, told = len(rig.listener.fills), len(bases)
                bob(rig, -1, 10_000, 2_000)
                rig.gateway.orders.queries.due.set()
                await rig.until(lambda: len(rig.listener.fills) > bought and len(bases) > told + 1)  # noqa: B023
            await rig.until(lambda: rig.listener.free["SIM"] == rig.free("SIM"))
            assert bases == sorted(bases)

    asyncio.run(scenario())
