"""No order is named as open once the exchange lists none and no request can arrive, however its end was lost."""

import asyncio

import pytest
from gateway_rig import Rig, trading
from test_gateway import bob

from mm.live.knobs import OrderAccess
from simulation import inject

QUICK = OrderAccess(recv_window_ms=300, reconcile_interval_s=60)
DEAF = "stall of=user"  # no report of an order arrives
UNTOLD = "error code=-1000 n=0 path=order.status"
TRADES = "error code=-1000 n=0 path=myTrades"
BACK = "clock_offset ms=-2600"
FAULTS = {
    "placing lost": ["ack_lost path=order.place"],
    "placing never arrived": ["ack_lost path=order.place undone=1"],
    "placing never arrived, clock back": ["ack_lost path=order.place undone=1", BACK],
    "placing lost, clock back": ["ack_lost path=order.place", BACK],
    "placing late, clock back": ["ack_late path=order.place delay_s=2", BACK],
    "clock back": [BACK],
    "clock ahead": ["clock_offset ms=2600"],
    "clock back for an hour": ["clock_offset ms=-3600000"],
    "clock back and ahead": [BACK, "clock_offset ms=2600"],
    "cancel lost": ["ack_lost path=order.cancel"],
    "cancel never arrived": ["ack_lost path=order.cancel undone=1"],
    "cancel unknown": ["error code=-1007 path=order.cancel"],
    "cancel refused": ["error code=-2011 path=order.cancel undone=1"],
    "fill on cancel": ["fill_on_cancel path=order.cancel"],
    "part fill on cancel": ["fill_on_cancel path=order.cancel share=0.5"],
    "fill on cancel, clock back": ["fill_on_cancel path=order.cancel", BACK],
    "replacement lost": ["ack_lost path=order.cancelReplace"],
    "replacement never arrived": ["ack_lost path=order.cancelReplace undone=1"],
    "replacement never arrived, clock back": ["ack_lost path=order.cancelReplace undone=1", BACK],
    "book lost": ["restart books=lost for_s=0.3"],
}
AT_ONCE = 7
KNOWN = {"told": [], "deaf": [DEAF], "untold": [DEAF, UNTOLD], "trades untold": [DEAF, TRADES]}


async def play(rig: Rig, faults: list[str]) -> None:
    """Place, replace, cancel, and meet an own order, under faults."""
    gateway = rig.gateway
    for number, price in ((1, "99"), (2, "98.5"), (3, "98")):
        gateway.orders.place(number, +1, price, "1", "LIMIT_MAKER")
    await rig.until(lambda: len(rig.at_exchange()) == 3 and len(rig.listener.state) == 3)
    for fault in faults:
        inject(rig.box, f"at time 0 do {fault}")
    gateway.orders.place(4, -1, "101", "1", "LIMIT_MAKER")
    gateway.orders.replace(1, 5, +1, "99.5", "0.7", "LIMIT_MAKER")
    gateway.orders.cancel(2)
    gateway.orders.place(6, -1, "98", "0.5", "IOC")  # self-trade prevention expires what it would meet
    await asyncio.sleep(0.05)
    bob(rig, -1, 9_950, 200)


@pytest.mark.slow
@pytest.mark.parametrize("known", KNOWN)
def test_nothing_is_left_after_an_end_with_lost_reports(known: str) -> None:
    """Each fault at an exchange of its own; few end at once, so that a busy machine tells the outcomes in time."""
    ends: dict[str, str] = {}

    async def scenario(name: str) -> None:
        async with trading(access=QUICK) as rig:
            await play(rig, FAULTS[name] + KNOWN[known])
            await rig.gateway.stop()
            left, resting = rig.gateway.ending.left, rig.at_exchange()
            if left or resting:
                ends[name] = f"left {left}, resting {resting}, {rig.gateway.log.lines[-3:]}"
            if known in ("told", "deaf"):
                assert not rig.gateway.states.open, name
                rig.listener.fills.sort(key=lambda fill: fill.trade_id)  # fetched ones come by order
                rig.check()

    async def all_of_them() -> None:
        names = list(FAULTS)
        for first in range(0, len(names), AT_ONCE):
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                for name in names[first : first + AT_ONCE]:
                    group.create_task(scenario(name))

    asyncio.run(all_of_them())
    assert ends == {}
