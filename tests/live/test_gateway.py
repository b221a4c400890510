"""The gateway on an exchange in a box, in real time: orders, their reports, and equal books on both sides."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from gateway_rig import (
    ALICE,
    BOB,
    FollowingListener,
    MemoryAudit,
    make_gateway,
    place_for,
    run_of,
    stranger,
    trading,
)

from mm.errors import DataError, TryLater, UsageError
from mm.instrument import E8
from mm.live.audit.books import AuditBooks, Changes
from mm.live.audit.log import AuditLog

TRANSPORTS = [("ED25519", "websocket"), ("HMAC", "websocket"), ("ED25519", "rest"), ("HMAC", "rest")]


def bob(rig, side: int, ticks: int, lots: int) -> None:
    """Send a limit order of another user."""
    place_for(rig, BOB, side, ticks, lots)


@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
def test_orders_are_placed_filled_replaced_and_cancelled(kind: str, transport: str) -> None:
    """By both transports, with both kinds of keys."""

    async def scenario() -> None:
        async with trading(kind=kind, access={"order_transport": transport}) as rig:
            gateway, listener = rig.gateway, rig.listener
            gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(1) == "open")
            bob(rig, -1, 9_950, 400)
            await rig.until(lambda: listener.fills)
            gateway.orders.replace(1, 2, +1, "99.4", "0.6", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(2) == "open")
            assert listener.state[1] == "CANCELED"
            gateway.orders.cancel(2)
            await rig.until(lambda: listener.state[2] == "CANCELED")
            expected = [("accepted", 1), ("filled", 1, "0.40000000"), ("closed", 1, "CANCELED"), ("accepted", 2)]
            assert listener.log == [*expected, ("closed", 2, "CANCELED")]
            assert [row["type"] for row in rig.audit.rows] == [
                "intent",
                "ack",
                "fill",
                "intent",
                "cancel",
                "ack",
                "intent",
                "cancel",
            ]
            assert not gateway.states.open
            rig.check()

    asyncio.run(scenario())


@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
def test_amended_order_keeps_its_ids_and_fills_reduced_quantity(kind: str, transport: str) -> None:
    """The locked balance is reduced, and a second amendment at the same time is rejected."""

    async def scenario() -> None:
        async with trading(kind=kind, access={"order_transport": transport}) as rig:
            gateway, listener = rig.gateway, rig.listener
            gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(1) == "open")
            (order,) = rig.at_exchange()
            name = order.client_id
            bob(rig, -1, 9_950, 400)
            await rig.until(lambda: listener.fills)
            gateway.orders.amend(1, "0.7")
            gateway.orders.amend(1, "0.6")  # one at a time
            await rig.until(lambda: len(listener.log) == 4)
            assert listener.log[2:] == [("amend_failed", 1, 0), ("amended", 1, "0.7")]
            assert (order.lots, order.left_lots, order.client_id) == (700, 300, name)
            await rig.until(lambda: listener.free["USDT"] == rig.free("USDT"))
            bob(rig, -1, 9_950, 300)
            await rig.until(lambda: not gateway.states.open)
            rows = [(row["type"], row.get("action"), row.get("qty")) for row in rig.audit.rows]
            assert rows == [
                ("intent", "place", "1"),
                ("ack", "place", None),
                ("fill", None, "0.40000000"),
                ("intent", "amend", "0.7"),
                ("reject", "amend", None),
                ("ack", "amend", "0.7"),
                ("fill", None, "0.30000000"),
            ]
            rig.check()

    asyncio.run(scenario())


@pytest.mark.parametrize(("qty", "why"), [("1", -1013), ("1.1", -1013), ("0.0004", -1013), ("0.01", -1013)])
def test_invalid_amendments_are_rejected_before_sending(qty: str, why: int) -> None:
    """Not smaller, off the step, below the minimum notional: no intent, no request."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            rig.gateway.orders.amend(1, qty)
            await rig.until(lambda: len(rig.listener.log) == 2)
            assert rig.listener.log[1] == ("amend_failed", 1, why)
            assert len(rig.audit.of("intent")) == 1
            rig.gateway.orders.amend(7, "0.5")  # an unknown order

    asyncio.run(scenario())


async def leaving() -> None:
    """Let requests leave, whose intents are written; no answer arrives meanwhile."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_cancel_does_not_wait_for_amendment() -> None:
    """Once the amendment has left, though it is not answered; the same holds for a replacement."""

    async def scenario() -> None:
        async with trading() as rig:
            gateway, listener = rig.gateway, rig.listener
            for number in (1, 2):
                gateway.orders.place(number, +1, f"{99 - number}", "1", "LIMIT_MAKER")
            await rig.until(lambda: len(rig.at_exchange()) == 2)
            gateway.orders.amend(1, "0.5")
            gateway.orders.amend(2, "0.5")
            await leaving()
            gateway.orders.cancel(1)
            gateway.orders.replace(2, 3, +1, "96", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(3) == "open" and len(gateway.states.open) == 1)
            assert (listener.state[1], listener.state[2]) == ("CANCELED", "CANCELED")
            assert listener.qty == {1: "0.5", 2: "0.5"}
            rig.check()

    asyncio.run(scenario())


@pytest.mark.parametrize("side", [+1, -1])
@pytest.mark.parametrize("order_kind", ["LIMIT", "IOC", "FOK", "MARKET"])
def test_taker_orders_fill_and_remainder_expires_or_rests(order_kind: str, side: int) -> None:
    """For each order type and side."""

    async def scenario() -> None:
        async with trading() as rig:
            bob(rig, -side, 10_000, 1_000)
            price = "" if order_kind == "MARKET" else "100"
            rig.gateway.orders.place(1, side, price, "0.4", order_kind)
            await rig.until(lambda: len(rig.listener.fills) == 1)
            await rig.until(lambda: not rig.gateway.states.open)
            qty = "0.6" if order_kind == "FOK" else "0.7"
            rig.gateway.orders.place(2, side, price, qty, order_kind)
            await rig.until(lambda: len(rig.listener.fills) == 2)
            if order_kind == "IOC":
                await rig.until(lambda: rig.listener.state[2] == "EXPIRED")
            rig.check()
            assert len(rig.gateway.states.open) == len(rig.at_exchange()) == (order_kind == "LIMIT")

    asyncio.run(scenario())


def test_failed_task_is_reported_and_new_orders_are_rejected() -> None:
    """A gateway must not continue without its reconciles."""

    async def scenario() -> None:
        async with trading(access={"reconcile_interval_s": 1.0}) as rig:
            gateway, listener = rig.gateway, rig.listener

            def broken(held: object) -> None:
                raise RuntimeError("a taker that fails")

            listener.balances = broken
            await rig.until(lambda: not gateway.readiness.ready)
            ready, why = listener.ready[-1]
            assert not ready
            assert "a taker that fails" in why
            gateway.orders.place(1, +1, "99", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(1) == "rejected")
            assert rig.at_exchange() == []

    asyncio.run(scenario())


def test_stop_cancels_open_orders() -> None:
    """It waits until they have ended."""

    async def scenario() -> None:
        async with trading() as rig:
            for number in range(1, 11):
                rig.gateway.orders.place(number, +1, f"{99 - number}", "1", "LIMIT_MAKER")
            await rig.until(lambda: len(rig.at_exchange()) == 10)
            await rig.gateway.stop()
            assert set(rig.listener.state.values()) == {"CANCELED"}
            assert rig.at_exchange(ALICE) == []

    asyncio.run(scenario())


def test_nothing_is_placed_once_a_stop_has_begun() -> None:
    """Though the exchange would accept it: nobody would look after the order."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            stopping = asyncio.create_task(rig.gateway.stop())
            await asyncio.sleep(0)
            rig.gateway.orders.place(2, +1, "98", "1", "LIMIT_MAKER")
            await stopping
            assert rig.listener.state == {1: "CANCELED", 2: "rejected"}
            assert len(rig.box.exchange.users.all(ALICE)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("sync", [False, True])
def test_audit_log_rows_give_exchange_position_and_cash(tmp_path: Path, sync: bool) -> None:
    """Each intent on disk precedes the acknowledgement of its order."""
    path = tmp_path / "audit" / "SIMUSDT" / "20260105_r.ndjson"

    async def scenario() -> None:
        audit = AuditLog(path, sync=sync)
        audit.append("start", symbol="SIMUSDT", run_id="r", base_asset="SIM", quote_asset="USDT")
        async with trading(audit=audit) as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            bob(rig, -1, 9_950, 400)
            await rig.until(lambda: rig.listener.fills)
            await rig.gateway.stop()
            money = rig.box.exchange.accounts[ALICE]
        audit.append("stop")
        audit.close()
        books = AuditBooks("SIMUSDT")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            books.apply(row, Changes())
        assert [row["type"] for row in rows] == ["start", "intent", "ack", "fill", "intent", "cancel", "stop"]
        assert books.open_orders() == []
        assert books.ledger
        assert books.ledger.position_e8 == money.base.free - 1_000 * E8
        assert books.ledger.cash_e8 == money.quote.free - 1_000_000 * E8

    asyncio.run(scenario())


def test_audit_log_failure_stops_new_orders(tmp_path: Path) -> None:
    """Open orders can still be cancelled."""

    async def scenario() -> None:
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            rig.audit.failure = OSError("No space left on device")
            rig.gateway.orders.place(2, +1, "99.4", "1", "LIMIT_MAKER")
            rig.gateway.orders.cancel(1)
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED")
            assert rig.listener.state[2] == "rejected"
            assert len(rig.box.exchange.users.all(ALICE)) == 1

    asyncio.run(scenario())


def test_order_is_not_sent_when_its_intent_fails() -> None:
    """Also without waiting for the disk: the failed row may be the order's own intent."""

    async def scenario() -> None:
        async with trading() as rig:
            append, refusal = rig.audit.append, OSError("No space left on device")

            def refuse(type: str, /, **fields: object) -> int:
                rig.audit.failure = refusal
                return append(type, **fields)

            async def synced(seq: int) -> None:
                raise refusal

            rig.audit.append, rig.audit.synced = refuse, synced  # type: ignore[method-assign]
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "rejected")
            assert rig.box.exchange.users.all(ALICE) == []

    asyncio.run(scenario())


def test_reports_behind_one_that_fails_reach_the_log() -> None:
    """Three trades that no event reported: the listener raises at the first; all are booked, and the gateway ends."""

    async def scenario() -> None:
        async with trading(access={"reconcile_interval_s": 1}, faults="at time 0 do mute of=user") as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")

            def fail(fill: Any) -> None:
                rig.listener.on_fill = None
                raise RuntimeError("as unforeseen")

            rig.listener.on_fill = fail
            for _ in range(3):
                bob(rig, -1, 9_950, 100)
            await rig.until(lambda: rig.gateway.readiness.failure)
            assert "RuntimeError('as unforeseen')" in str(rig.gateway.readiness.failure)
            assert [row["trade_id"] for row in rig.audit.of("fill")] == [
                one.trade_id for one in rig.box.exchange.users.fills(ALICE)
            ]
            assert len(rig.listener.fills) == 3
            assert not rig.gateway.readiness.ready
            await rig.gateway.stop()
            assert rig.at_exchange() == []

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["nobody", "wrong"])
def test_rejected_api_key_raises_usage_error_without_secrets(name: str) -> None:
    """An unknown key and a wrong secret: exit code 2, and neither of them in the message."""
    secret = "S" * 64

    async def scenario() -> None:
        async with trading() as rig:
            known = rig.box.ready()["accounts"][0]["api_key"]
            key = "K" * 64 if name == "nobody" else known
            listener = FollowingListener()
            gateway = stranger(key, secret=secret, at=rig.box)
            gateway.reports.attach(listener)
            with pytest.raises(UsageError, match="does not accept the API key") as caught:
                await gateway.start()
            assert not any(text in str(caught.value) for text in (secret, key))
            await gateway.stop()

    asyncio.run(scenario())


def test_unknown_symbol_raises_data_error() -> None:
    """Exit code 3."""

    async def scenario() -> None:
        async with trading() as rig:
            run = run_of(symbol="OTHER")
            gateway = make_gateway(rig.box, MemoryAudit(), FollowingListener(), run=run)
            with pytest.raises(DataError, match="no symbol OTHER"):
                await gateway.start()
            await gateway.stop()

    asyncio.run(scenario())


def test_unreachable_exchange_raises_try_later() -> None:
    """Exit code 75."""

    async def scenario() -> None:
        gateway = stranger("k", secret="s")
        with pytest.raises(TryLater, match="does not answer"):
            await gateway.start()
        await gateway.stop()

    asyncio.run(scenario())
