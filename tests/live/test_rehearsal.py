"""Rehearsals of orders: they take the code path of real orders and leave nothing behind."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_rig import FollowingListener, QuietLog

from mm.instrument import from_exchange_info
from mm.live.audit import AuditLog
from mm.live.gateway import Gateway, GatewayRun, Surroundings
from mm.live.keys import Credentials
from mm.live.order_access import OrderAccess, VenueUrls
from mm.live.rehearsal import GAP_S, Rehearsal, RehearsedExchange, RehearsedTerms, _RehearsedLink, _RehearsedRest

ENTRY = {
    "symbol": "SIMUSDT",
    "status": "TRADING",
    "baseAsset": "SIM",
    "quoteAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000.00", "stepSize": "0.001"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ],
}
TERMS = RehearsedTerms(ENTRY, from_exchange_info(ENTRY, "exchangeInfo"), 10_000, 100)
KEY = Credentials("k", secret="s")
US = 1_700_000_000_000_000


def rehearsal(folder: Path, log: QuietLog, terms: RehearsedTerms = TERMS, transport: str = "websocket") -> Rehearsal:
    """Return a rehearsal whose log would be in *folder*."""
    return Rehearsal(terms, KEY, OrderAccess(order_transport=transport), folder / ".x", log=log)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_rehearsal_places_and_replaces_orders_without_trace(tmp_path: Path, transport: str) -> None:
    """After many rehearsals few orders rest in its exchange, none was refused, and neither memory nor disk grows."""
    log = QuietLog()

    async def main() -> tuple[int, Any, Any]:
        one = rehearsal(tmp_path, log, transport=transport)
        assert not list(tmp_path.iterdir())
        await one.start()
        await until(lambda: (one.after_message(), one.count >= 500)[1])
        states, log_ = one._gateway._states, one._audit
        assert len(states.by_client) <= 2 * 100 + 10
        assert not one._trader.accepted_us or len(one._trader.accepted_us) < 10
        assert log_._size < 1_000
        intents, resting = log_.rows, len(states.open)
        await one.stop()
        count = one.count
        await asyncio.sleep(10 * GAP_S)
        one.after_message()
        await asyncio.sleep(10 * GAP_S)
        assert one.count == count
        return intents, resting, states

    rows, resting, states = asyncio.run(main())
    assert rows >= 3 * 490  # an intent, an acceptance, and the end of the one before
    assert 1 <= resting <= 4
    assert not states.open
    assert not list(tmp_path.iterdir())
    assert log.lines == []


def test_rehearsal_continues_without_market_messages(tmp_path: Path) -> None:
    """In a silent market the caches would otherwise become cold."""

    async def main() -> None:
        one = rehearsal(tmp_path, QuietLog())
        await one.start()
        await until(lambda: one.count >= 20)
        await one.stop()

    asyncio.run(main())


def test_rehearsal_that_cannot_start_logs_why(tmp_path: Path) -> None:
    """The trade continues without it."""
    log = QuietLog()

    async def main() -> int:
        one = rehearsal(tmp_path, log, RehearsedTerms({**ENTRY, "status": "HALT"}, TERMS.grid, 10_000, 100))
        await one.start()
        one.after_message()
        await asyncio.sleep(10 * GAP_S)
        await one.stop()
        return one.count

    assert asyncio.run(main()) == 0
    assert [event for event, _ in log.lines] == ["not_rehearsed"]
    assert "HALT" in log.lines[0][1]["why"]


def test_full_disk_of_rehearsal_log_is_harmless(tmp_path: Path) -> None:
    """The log of the rehearsals keeps no row, so none can be missing."""

    async def main() -> None:
        one = rehearsal(tmp_path, QuietLog())
        await one.start()

        def full(_: bytes) -> None:
            raise OSError(28, "No space left on device")

        one._audit._write_all = full  # type: ignore[method-assign]
        await until(lambda: one._audit.failure)
        await one.stop()

    asyncio.run(main())


class _Tap(_RehearsedLink):
    """Keeps sent messages."""

    sent: list[bytes]

    def send(self, text: bytes) -> None:
        self.sent.append(text)
        super().send(text)


def orders_sent(folder: Path, *, rehearsed: bool) -> tuple[list[bytes], bytes]:
    """Send orders through a gateway with a fixed clock; return the requests, and the audit log."""
    sent: list[bytes] = []

    def connect(_: str, take: Callable[[bytes, int], None]) -> _Tap:
        link = _Tap(RehearsedExchange(TERMS, lambda: US), take)
        link.sent = sent
        return link

    async def main() -> None:
        audit, listener = AuditLog(folder / "log", sync=False, clock=lambda: US), FollowingListener()
        rest: httpx.AsyncBaseTransport = _RehearsedRest(RehearsedExchange(TERMS, lambda: US))
        around = Surroundings(clock=lambda: US, connect=connect, rest=rest, nonce=b"n")
        run = GatewayRun(symbol="SIMUSDT", run_id="r", access=OrderAccess(), sync=False, share_budget=False)
        urls = VenueUrls("ws://x", "http://x", "ws://x")
        gateway = Gateway(urls, KEY, run, listener, audit, log=QuietLog(), around=around)
        beside = rehearsal(folder, QuietLog()) if rehearsed else None
        if beside:
            await beside.start()
        await gateway.start()
        for number in range(1, 40):
            if beside:
                count = beside.count
                await until(lambda count=count: (beside.after_message(), beside.count > count + 2)[1])
            price, side = f"{100 + number % 7:.2f}", 1 if number % 2 else -1
            if number > 2:
                gateway.replace(number - 2, number, side, price, "0.1", "LIMIT_MAKER")
            else:
                gateway.place(number, side, price, "0.1", "LIMIT_MAKER")
            await until(lambda number=number: listener.state.get(number) == "open")
        gateway.cancel(39)
        await until(lambda: listener.state[39] != "open")
        if beside:
            await beside.stop()
        await gateway.stop()
        audit.append("stop")
        audit.close()

    asyncio.run(main())
    return sent, (folder / "log").read_bytes()


def test_rehearsal_changes_neither_requests_nor_audit_log(tmp_path: Path) -> None:
    """No id, count, state or hash of the real orders changes."""
    folders = [tmp_path / "alone", tmp_path / "rehearsed"]
    for folder in folders:
        folder.mkdir()
    alone, beside = (orders_sent(folder, rehearsed=at == 1) for at, folder in enumerate(folders))
    assert alone == beside
    orders = [json.loads(text) for text in alone[0] if b'"order.' in text]
    assert len({one["params"].get("newClientOrderId") for one in orders}) == 39 + 1
    assert len(orders) >= 40


def test_slow_rehearsals_are_less_frequent(tmp_path: Path) -> None:
    """Where one takes 20 ms, the next one comes 60 ms later or more: most of the time is left to the market."""

    async def main() -> float:
        one = rehearsal(tmp_path, QuietLog())
        await one.start()
        act = one._trader.act

        def slow(us: int | None = None) -> None:
            time.sleep(0.02)
            act(us)

        one._trader.act = slow  # type: ignore[method-assign]
        count, begun_s = one.count, time.monotonic()
        await until(lambda: (one.after_message(), one.count >= count + 6)[1])
        await one.stop()
        return time.monotonic() - begun_s

    assert asyncio.run(main()) >= 5 * 0.02 / 0.3
