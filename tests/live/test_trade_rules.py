"""The exchange changes its rules: filters, the state of a symbol, its listing; before a start, and in the middle."""

import asyncio
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request

import pytest
from gateway_rig import ALICE, FollowingListener, MemoryAudit, make_gateway, place_for, trading
from hypothesis import given
from hypothesis import strategies as st
from test_trade_hangs import guardians
from trading_box import STILL, ended, venue
from usdm_box import contract_box

from mm.errors import TryLater
from mm.instrument import E8, Filters, Instrument, e8
from mm.live.audit.books import AuditOrder
from mm.live.knobs import OrderAccess
from mm.live.orders.access import GatewayRun
from mm.live.orders.pauses import LONGEST_S, OrderPauses
from mm.live.orders.symbol_rules import DOUBTED_S
from mm.live.run.flatten import plan
from mm.live.run.live_terms import ShadowTerms
from mm.live.venues.refusals import Refusal, Why
from mm.markets.messages import DepthSnapshot
from mm.play.knobs import Market
from mm.runs.manifest import write_manifest
from simulation import inject
from state_servers import free_port

BOXES = {"spot": venue, "usdm": contract_box}
BOOK = DepthSnapshot(1, [("99.93", "1"), ("99.81", "2")], [("99.94", "1"), ("100.07", "9")])
COARSE = Instrument("SIMUSDT", e8("0.05"), e8("0.001"), e8("5"), "SIM", "USDT")


def closed(box):
    """Close the position with a consent, and return the exit code and what was printed."""
    done = box.run("trade", "flatten", "--max-cost", "1000")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_coarser_tick_ends_a_trade_and_the_next_trades_on_prices_of_the_old_one(market, tmp_path):
    """The exchange matches old orders on: the market stays on the old tick, ours are on the new one."""
    with BOXES[market](tmp_path) as box:
        with box.trader(QUOTE_QTY="1") as process:
            box.until(lambda: box.rows("fill"), "a fill", process=process)
            box.post("/sim/faults", "at time 0 do filters tick=0.05")
            code, output, _ = ended(process, number=None)
        assert code == 75, output
        assert "tick_size from 0.01 to 0.05" in output
        assert box.account()["openOrders"] == []
        before = len(box.rows("fill"))
        with box.trader(QUOTE_QTY="1") as process:
            box.until(lambda: len(box.rows("fill")) > before, "a fill on the new tick", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        code, output = closed(box)
        assert code in (0, 75), output  # 75: the book offered no more at this instant
        assert "not a multiple of tick size" not in output


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_delisted_symbol_ends_a_trade_once_and_its_commands_say_so(market, tmp_path):
    """Neither orders nor listings of it are answered, yet the end is one, and a supervisor's next start says why."""
    with BOXES[market](tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.rows("ack"), "an order", process=process)
            sent = len(box.rows("reject"))
            box.post("/sim/faults", "at time 0 do symbol listed=0")
            code, output, _ = ended(process, number=None)
        assert code == 75, output
        assert "delisted" in output
        assert len(box.rows("reject")) - sent < 10
        for words in (("trade",), ("trade", "flatten")):
            done = box.run(*words)
            assert (done.returncode, "does not list SIMUSDT any more" in done.stderr) == (75, True), done.stderr
        assert box.run("trade", "cancel").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_unlisted_symbol_that_was_never_traded_is_a_mistake(market, tmp_path):
    """A start and a cancel end with 2, whatever else the exchange answers."""
    with BOXES[market](tmp_path) as box:
        for words in (("trade",), ("trade", "cancel")):
            done = box.run(*words, SYMBOL="SIMUSDX")
            assert (done.returncode, "SIMUSDX" in done.stderr) == (2, True), done.stderr


def test_start_in_a_break_is_tried_again_by_a_supervisor(tmp_path):
    """So is the command that closes a position."""
    with venue(tmp_path) as box:
        box.post("/sim/status", json.dumps({"status": "BREAK"}))
        done = box.run("trade")
        assert (done.returncode, "BREAK" in done.stderr) == (75, True), done.stderr
        done = box.run("trade", "flatten")
        assert (done.returncode, "BREAK" in done.stderr) == (75, True), done.stderr


@pytest.mark.slow
def test_knobs_that_the_exchange_has_outgrown_are_tried_again_and_bad_ones_are_not(tmp_path):
    """They have traded, whatever starts have failed since; a flatten reads none of them."""
    knobs = {"QUOTE_QTY": "0.3", "SIZE_RAMP": "[0.5, 1]", "MAX_ORDER_NOTIONAL": "40"}
    with venue(tmp_path) as box:
        for bad in ({"QUOTE_QTY": "0.08"}, {"MAX_ORDER_NOTIONAL": "10"}, {"MAX_ORDER_NOTIONAL": "10"}):
            assert box.run("trade", **{**knobs, **bad}).returncode == 2
        with box.trader(**knobs) as process:
            box.until(lambda: box.rows("ack"), "an order", process=process)
            code, output, _ = ended(process)
            assert code == 0, output
        box.post("/sim/faults", "at time 0 do filters min_notional=21")
        for more, expected, named in (
            ({}, 75, "SIZE_RAMP"),
            ({"QUOTE_QTY": "0.31"}, 2, "SIZE_RAMP"),
            ({}, 75, "SIZE_RAMP"),
            ({"SIZE_RAMP": "", "QUOTE_QTY": "0.5"}, 2, "MAX_ORDER_NOTIONAL"),
        ):
            done = box.run("trade", **{**knobs, **more})
            assert (done.returncode, named in done.stderr) == (expected, True), done.stderr
        assert box.run("trade", "flatten", QUOTE_QTY="0.0001", TICK_SIZE="0.03").returncode == 0
        box.post("/sim/faults", "at time 0 do filters min_notional=5")
        before = len(box.rows("ack"))
        with box.trader(**knobs) as process:
            box.until(lambda: len(box.rows("ack")) > before, "an order once it is allowed again", process=process)


@pytest.mark.slow
def test_limit_that_a_price_has_outgrown_blocks_until_the_price_is_back(tmp_path):
    """In the middle of a trade the limit waits; a start ends with 75."""
    knobs = {**STILL, "QUOTE_QTY": "0.5", "MAX_ORDER_NOTIONAL": "51", "MAX_MOVE": "0.5", "PRICE_BAND": "0.5"}

    def market(box, resting, prices):
        for order in resting:
            box.cancel(order)
        return [box.place_resting(*terms) for terms in prices]

    low, high = (("BUY", "99.8"), ("SELL", "100.2")), (("SELL", "106.2"), ("BUY", "105.8"))
    with venue(tmp_path, "--scenario", "empty") as box:
        resting = market(box, [], low)
        with box.trader(**knobs) as process:
            box.until_with_updates(lambda: box.account()["openOrders"], "a quote", process)
            resting = market(box, resting, high)
            box.until_with_updates(lambda: not box.account()["openOrders"], "no quote", process)
            sent = box.sent()
            code, output, _ = ended(process)
            assert code == 0, output
            assert box.sent() == sent
        assert {row["limit"] for row in box.rows("breach")} == {"MAX_ORDER_NOTIONAL"}
        done = box.run("trade", **knobs)
        assert (done.returncode, "MAX_ORDER_NOTIONAL" in done.stderr) == (75, True), done.stderr
        market(box, resting, low)
        before = len(box.rows("ack"))
        with box.trader(**knobs) as process:
            box.until_with_updates(lambda: len(box.rows("ack")) > before, "a quote at the old price", process)


@pytest.mark.parametrize(
    "refusals",
    [[], ["error n=2 code=-1013 undone=1 path=order.cancel", "error n=2 code=-1013 undone=1 path=openOrders"]],
)
def test_start_in_a_break_cancels_what_a_dead_run_has_left(refusals):
    """Until the exchange accepts it; orders of others stay, and nothing is placed."""

    async def scenario() -> None:
        async with trading() as rig:
            before = "mm-abcdefghijklm"
            for number, side, ticks in ((1, +1, 9_000), (2, -1, 11_000)):
                place_for(rig, ALICE, side, ticks, 1_000, f"{before}-{number}b")
            place_for(rig, ALICE, +1, 8_000, 1_000, "by-hand")
            inject(rig.box, "at time 0 do symbol status=BREAK")
            for one in refusals:
                inject(rig.box, f"at time 0 do {one}")
            run = GatewayRun(symbol="SIMUSDT", run_id="next", access=OrderAccess(), runs=(before,))
            started = make_gateway(rig.box, MemoryAudit(), FollowingListener(), run=run)
            with pytest.raises(TryLater, match="BREAK"):
                await started.start()
            await started.stop()
            assert [one.client_id for one in rig.at_exchange()] == ["by-hand"]
            assert started.ending.left == ()

    asyncio.run(scenario())


def test_order_of_an_earlier_run_that_never_arrived_pauses_no_side():
    """It was killed between its intent and the request: the exchange does not know the order."""

    async def scenario() -> None:
        async with trading() as rig:
            client_id = "mm-abcdefghijklm-1b"
            lost = AuditOrder(client_id, None, "SIMUSDT", "BUY", "90", "1", "PENDING_NEW", 1, "before")
            access = OrderAccess(recv_window_ms=200)
            run = GatewayRun(symbol="SIMUSDT", run_id="next", access=access, earlier=[lost], runs=("mm-abcdefghijklm",))
            listener = FollowingListener()
            started = make_gateway(rig.box, MemoryAudit(), listener, run=run)
            await started.start()
            await rig.until(lambda: not started.states.open)
            assert [row["client_id"] for row in started.audit.of("reject")] == [client_id]
            assert listener.pauses == []
            started.orders.place(1, +1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(1) == "open")
            await started.stop()

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize(("market", "status"), [("spot", "BREAK"), ("usdm", "SETTLING")])
def test_start_in_a_halt_cancels_the_orders_of_a_killed_trader(tmp_path, market, status):
    """Trader and guardian are gone, as after a power cut."""
    with BOXES[market](tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            for number in (*guardians(process.pid), process.pid):
                os.kill(number, signal.SIGKILL)
            process.wait()
        assert box.account()["openOrders"]
        box.post("/sim/faults", f"at time 0 do symbol status={status}")
        done = box.run("trade")
        assert (done.returncode, status in done.stderr) == (75, True), done.stderr
        assert box.account()["openOrders"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("symbol listed=0", "delisted"),
        ("filters min_notional=1000", "filters of SIMUSDT"),
        ("filters max_orders=1", "filters of SIMUSDT"),
        ("filters max_price=99", "filters of SIMUSDT"),
        ("filters step=0.3", "step_size from 0.001 to 0.3"),
    ],
)
def test_refused_order_leads_to_the_new_rules_and_the_end_leaves_nothing(change, words):
    """Also where no listing of the symbol is answered any more."""

    async def scenario() -> None:
        async with trading(access={"recv_window_ms": 500}) as rig:
            rig.gateway.orders.place(1, +1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            inject(rig.box, f"at time 0 do {change}")
            rig.gateway.orders.place(2, +1, "99.53", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.gateway.rules.regridded)
            assert words in str(rig.gateway.rules.regridded)
            assert isinstance(rig.gateway.rules.regridded, TryLater)
            await rig.gateway.stop()
            assert rig.at_exchange() == []
            assert rig.gateway.ending.left == ()

    asyncio.run(scenario())


def test_rules_that_keep_every_order_back_are_asked_for_again():
    """No order is refused by them, here or there; they are asked for at most twice a minute."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.rules.doubt()
            await asyncio.sleep(0.3)
            assert rig.gateway.rules.regridded is None
            inject(rig.box, "at time 0 do filters min_notional=1")
            rig.gateway.rules.doubt()
            await asyncio.sleep(0.3)
            assert rig.gateway.rules.regridded is None
            rig.gateway.rules._doubted_s -= DOUBTED_S
            rig.gateway.rules._asked_s = 0.0
            rig.gateway.rules.doubt()
            await rig.until(lambda: rig.gateway.rules.regridded)
            assert "filters of SIMUSDT" in str(rig.gateway.rules.regridded)

    asyncio.run(scenario())


def test_order_that_is_refused_here_leads_to_the_new_rules():
    """Those of the start bounded its price; the exchange has lifted the bound since."""

    async def scenario() -> None:
        async with trading(faults="at time 0 do filters min_price=95") as rig:
            rig.gateway.orders.place(1, +1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "rejected")
            assert rig.gateway.rules.regridded is None
            inject(rig.box, "at time 0 do filters min_price=0.01")
            rig.gateway.rules._asked_s = 0.0
            rig.gateway.orders.place(2, +1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.gateway.rules.regridded)

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_start_under_a_rule_that_keeps_its_quotes_back_trades_once_it_is_lifted(market, tmp_path):
    """It says why it does not quote, and ends with 75 once it may: the next start has the new rules."""
    change, reason = {"spot": ("min_notional", "min_notional"), "usdm": ("min_qty", "quantity_out_of_range")}[market]
    with BOXES[market](tmp_path) as box:
        box.post("/sim/faults", f"at time 0 do filters {change}=400")
        port = free_port()
        with box.trader(QUOTE_QTY="1.7", METRICS_PORT=str(port)) as process:
            box.until(lambda: f"buy {reason}, sell {reason}" in not_ready(port), "a reason", process=process)
            box.post("/sim/faults", f"at time 0 do filters {change}=1")
            code, output, _ = ended(process, number=None, seconds=DOUBTED_S + 60)
        assert code == 75, output
        assert box.rows("ack") == []
        with box.trader(QUOTE_QTY="1.7") as process:
            box.until(lambda: box.rows("ack"), "an order", process=process)


@pytest.mark.slow
def test_shadow_of_knobs_that_it_was_played_with_waits_for_rules_that_allow_them(tmp_path):
    """A first one with them is a mistake, and so is one that was played with others since."""
    shadow = {"START_JITTER_S": "0"}
    with venue(tmp_path) as box:
        box.post("/sim/faults", "at time 0 do filters step=0.3")
        assert box.run("shadow", QUOTE_QTY="0.2", **shadow).returncode == 2
        for number, knobs in enumerate(({"QUOTE_QTY": "0.2"}, {"QUOTE_QTY": "2", "TARGET_INVENTORY": "-1"})):
            given = {"QUOTE_QTY": None, "TARGET_INVENTORY": None} | knobs
            known = {name.lower(): {"value": value, "source": "environment"} for name, value in given.items()}
            folder = tmp_path / "out" / "shadow" / "SIMUSDT" / f"20260105_R{number}"
            folder.mkdir(parents=True)
            texts = {"kind": "shadow", "run_id": f"R{number}", "symbol": "SIMUSDT", "day": "20260105"}
            texts |= dict.fromkeys(("status", "started_at", "finished_at", "version", "digest"), "")
            write_manifest(folder, {**texts, "knobs": known, "timings": {}, "summary": {}, "inputs": [], "outputs": []})
        older = box.run("shadow", QUOTE_QTY="0.2", **shadow)
        assert older.returncode == 2, older.stderr  # it was played with another one since
        shutil.rmtree(tmp_path / "out" / "shadow" / "SIMUSDT" / "20260105_R1")
        done = box.run("shadow", QUOTE_QTY="0.2", **shadow)
        assert (done.returncode, "less than the quantity step 0.3" in done.stderr) == (75, True), done.stderr
        box.post("/sim/faults", "at time 0 do symbol listed=0")
        done = box.run("shadow", QUOTE_QTY="0.2", **shadow)
        assert (done.returncode, "does not list SIMUSDT any more" in done.stderr) == (75, True), done.stderr


def not_ready(port):
    """Return why a trader is not ready; empty if it is, or serves nothing yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=30):
            return ""
    except urllib.error.HTTPError as answer:
        return answer.read().decode()
    except OSError:
        return ""


def test_refusals_pause_a_side_longer_and_longer_and_no_cancel():
    """Until one is accepted; the other side goes on."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "90", "1", "LIMIT_MAKER")
            rig.gateway.orders.place(2, -1, "110", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "open")
            inject(rig.box, "at time 0 do error n=2 code=-1008 undone=1 path=order.place")
            for order_id in (3, 4):
                rig.gateway.orders.place(order_id, +1, "91", "1", "LIMIT_MAKER")
                await rig.until(lambda order_id=order_id: rig.listener.state.get(order_id) == "rejected")
                rig.gateway.orders._pauses._until_s[+1] = 0.0
            assert rig.listener.pauses == [(+1, 0.5), (+1, 1.0)]
            began_s = time.monotonic()
            rig.gateway.orders.cancel(1)
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED")
            assert time.monotonic() - began_s < 0.5
            rig.gateway.orders.place(5, +1, "91", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(5) == "open")
            inject(rig.box, "at time 0 do error code=-1008 undone=1 path=order.place")
            rig.gateway.orders.place(6, +1, "92", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(6) == "rejected")
            assert rig.listener.pauses[2:] == [(+1, 0.5)]

    asyncio.run(scenario())


def test_orders_outside_of_the_price_range_wait_longer_and_longer():
    """They are refused here, and each refusal is a row of the journal."""

    async def scenario() -> None:
        async with trading() as rig:
            for order_id in (1, 2, 3):
                rig.gateway.rules.filters.average_e8 = e8("1000")  # a refusal asks for it
                rig.gateway.orders.place(order_id, +1, "91", "1", "LIMIT_MAKER")
                await rig.until(lambda order_id=order_id: rig.listener.state.get(order_id) == "rejected")
                await asyncio.sleep(0)
                rig.gateway.orders._pauses._until_s[+1] = 0.0
            assert rig.listener.pauses == [(+1, 0.5), (+1, 1.0), (+1, 2.0)]
            assert [line[0] for line in rig.gateway.log.lines].count("orders_paused") == 1

    asyncio.run(scenario())


def test_amendment_that_an_overloaded_exchange_refuses_is_tried_again_after_a_pause():
    """-1008 says nothing of the order, so the order may be amended later."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "90", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            inject(rig.box, "at time 0 do error code=-1008 undone=1 path=order.amend.keepPriority")
            rig.gateway.orders.amend(1, "0.5")
            await rig.until(lambda: rig.listener.pauses)
            assert rig.listener.pauses == [(+1, 0.5)]
            rig.gateway.orders.amend(1, "0.5")
            await rig.until(lambda: rig.listener.qty.get(1) == "0.5")

    asyncio.run(scenario())


class Lines:
    def __init__(self) -> None:
        self.events: list[str] = []

    def _keep(self, event: str, **_: object) -> None:
        self.events.append(event)

    info = warning = _keep


def test_pauses_in_seconds_double_from_half_a_second_to_half_a_minute():
    pauses, now_s, found = OrderPauses("SIMUSDT", Lines()), 0.0, []  # type: ignore[arg-type]
    busy = Refusal(-1008, "", Why.BUSY)
    for _ in range(9):
        found.append(pauses.refused(+1, busy, now_s))
        now_s += found[-1]
        assert pauses.refused(+1, busy, now_s - 0.001) == 0.0
    assert found == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=30))
def test_pauses_grow_to_a_bound_and_begin_anew_after_an_acceptance(reports):
    """Whatever the order of refusals and acceptances; each pause is at least as long as the one before it."""
    log, now_s, last_s = Lines(), 0.0, 0.0
    pauses = OrderPauses("SIMUSDT", log)  # type: ignore[arg-type]
    for wait_s, accepted in reports:
        now_s += wait_s
        if accepted:
            pauses.accepted(+1)
            last_s = 0.0
            continue
        found_s = pauses.refused(+1, Refusal(-1008, "", Why.BUSY), now_s)
        assert found_s == 0.0 or last_s <= found_s <= LONGEST_S
        assert pauses.refused(-1, Refusal(-2010, "", Why.CROSSES), now_s) == 0.0
        last_s = found_s or last_s
    assert log.events.count("orders_resumed") <= log.events.count("orders_paused")


def test_refusals_of_orders_that_were_under_way_together_make_one_pause():
    pauses = OrderPauses("SIMUSDT", Lines())  # type: ignore[arg-type]
    busy = Refusal(-1008, "", Why.BUSY)
    assert [pauses.refused(+1, busy, now_s) for now_s in (7.0, 7.1, 7.4, 7.5, 8.4)] == [0.5, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("code", [-4109, -4192, -4400, -4401])
def test_restriction_of_the_account_is_said_at_once(code):
    log = Lines()
    OrderPauses("SIMUSDT", log).refused(+1, Refusal(code, "", Why.RESTRICTED), 0.0)  # type: ignore[arg-type]
    assert log.events == ["orders_paused"]


def test_terms_off_the_tick_keep_orders_on_the_exchanges_step():
    """The engine sees each price of the book, and sends multiples of the step alone."""
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.05"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
    ]
    entry = {"symbol": "SIMUSDT", "filters": filters, "baseAsset": "SIM", "quoteAsset": "USDT"}
    tape = ShadowTerms("SIMUSDT", "20260105", entry, "99.93", "99.94", 0, book_tick="0.01").opening(Market())
    assert (tape.instrument.tick_e8, tape.step_ticks) == (e8("0.01"), 5)
    assert (tape.top_bid_ticks.tolist(), tape.top_ask_ticks.tolist()) == ([9_993], [9_994])


def test_terms_off_the_step_hold_quantities_of_the_old_one():
    """A step of three or of ten thousand old ones divides none of them by itself."""
    for step in ("0.003", "10"):
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "stepSize": step, "minQty": step},
        ]
        entry = {"symbol": "SIMUSDT", "filters": filters, "baseAsset": "SIM", "quoteAsset": "USDT"}
        terms = ShadowTerms("SIMUSDT", "20260105", entry, "99.93", "99.94", 0, book_step="0.001")
        tape = terms.opening(Market())
        assert e8("0.001") % tape.instrument.lot_e8 == 0
        assert tape.step_lots * tape.instrument.lot_e8 == e8(step)


@pytest.mark.slow
def test_quantity_between_two_raised_steps_is_rounded_down_for_what_was_traded(tmp_path):
    """At a first start it is a mistake; below the step a supervisor starts it until one of both changes."""
    with contract_box(tmp_path) as box:
        box.post("/sim/faults", "at time 0 do filters step=0.3")
        assert box.run("trade").returncode == 2
        box.post("/sim/faults", "at time 0 do filters step=0.001")
        for step, qty in (("0.001", "2"), ("0.3", "1.8")):
            box.post("/sim/faults", f"at time 0 do filters step={step}")
            before = len(box.rows("ack"))
            with box.trader() as process:
                box.until(lambda before=before: len(box.rows("ack")) > before, "an order", process=process)
                code, output, _ = ended(process)
            assert code == 0, output
            assert [row for row in box.rows("intent") if row["action"] == "place"][-1]["qty"] == qty
        box.post("/sim/faults", "at time 0 do filters step=3")
        done = box.run("trade")
        assert (done.returncode, "less than the quantity step 3" in done.stderr) == (75, True), done.stderr


@pytest.mark.parametrize(("position", "price"), [("1", "99.9"), ("2", "99.8"), ("-1", "99.95"), ("-2", "100.1")])
def test_flatten_reaches_prices_off_the_tick_from_the_next_step(position, price):
    """Its largest cost is that of the order's own price."""
    found = plan(e8(position), BOOK, COARSE, 0, None)
    assert found.price_e8 == e8(price)
    assert found.most_e8 == abs(found.price_e8 - found.mid_e8) * found.qty_e8 // E8
    assert found.limit_e8(found.most_e8, 0, None, COARSE.tick_e8) == found.price_e8


def test_flatten_stays_within_the_exchanges_bounds():
    """What they leave is named, and no order goes beyond them, whatever it may cost."""
    bounded = Filters(max_price_e8=e8("100"), max_qty_e8=e8("0.5"))
    grid = Instrument("SIMUSDT", e8("0.05"), e8("0.001"), e8("5"), "SIM", "USDT", bounded)
    found = plan(e8("-2"), BOOK, grid, 0, None)
    assert (found.qty_e8, found.price_e8, found.missing_e8) == (e8("0.5"), e8("99.95"), e8("1.5"))
    assert found.limit_e8(e8("1000"), 0, None, grid.tick_e8) == e8("100")
