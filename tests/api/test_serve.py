"""``mm sim api`` as a process on loopback: its clients, its readers, its end."""

import asyncio
import json
import signal
import socket
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [api]")

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mm.api.serve import listening
from mm.errors import UsageError
from serving import trading_interface

BUY = {"side": "buy", "type": "limit", "price": "100.05", "size": 5}
SELL = {**BUY, "side": "sell"}


def test_client_session_over_http_and_websocket():
    """Health, an order, market data and fills by WebSocket, and a clean stop."""

    async def play(ready):
        base, ws = ready["url"], ready["ws_url"]
        async with (
            httpx.AsyncClient(base_url=base, trust_env=False) as client,
            connect(f"{ws}/ws/md", proxy=None) as book,
            connect(f"{ws}/ws/fills/mm_1", proxy=None) as fills,
        ):
            assert (await client.get("/health")).json()["status"] == "ok"
            first = json.loads(await book.recv())
            assert set(first) == {"mid", "best_bid", "best_ask", "spread", "bids", "asks", "timestamp"}
            assert abs(first["timestamp"] - time.time()) < 60
            order = (await client.post("/order", json={"client_id": "mm_1", **BUY})).json()
            assert json.loads(await book.recv())["best_bid"] == 100.05
            other = (await client.post("/order", json={"client_id": "other", **SELL})).json()
            event = json.loads(await fills.recv())
            assert other["status"] == "filled"
            assert event == {
                "event": "fill", "order_id": order["order_id"], "side": "buy", "price": 100.05, "size": 5,
                "timestamp": event["timestamp"],
            }  # fmt: skip
            assert (await client.get("/docs")).status_code == 200
            with pytest.raises(InvalidStatus):
                await connect(f"{ws}/ws/md", proxy=None, origin="https://evil.example")
            assert len(Path(ready["log"]).read_text(encoding="utf-8").splitlines()) == 4

    with trading_interface("--scenario", "empty") as (process, ready):
        asyncio.run(play(ready))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, len(err.splitlines())) == (0, "", 1), err
        assert "request_refused reason=other_host" in err


class Wire:
    """One kept HTTP connection, like those of many clients."""

    def __init__(self, ready):
        self.host, _, self.port = ready["url"].removeprefix("http://").partition(":")

    async def open(self):
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(self.host, int(self.port))
        return self

    async def call(self, method, path, content=None):
        """Return status and content of an answer."""
        body = json.dumps(content).encode() if content else b""
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        return int(head.split()[1]), json.loads(await self.reader.readexactly(length))


def test_two_hundred_concurrent_clients():
    """Each sends arbitrary requests; positions add up to zero, and every response is a message of the interface."""

    async def send_orders(wire, number):
        side = ("buy", "sell")[number % 2]
        for step in range(2):
            price = f"{100 + (number + step) % 3 / 100}"
            order = {"client_id": f"c{number}", "side": side, "type": "limit", "price": price, "size": 1}
            status, answer = await wire.call("POST", "/order", order)
            assert status == 200
            assert answer["status"] in ("open", "partial", "filled")
        return wire

    async def play(ready):
        wires = [await Wire(ready).open() for _ in range(200)]
        await asyncio.gather(*(send_orders(wire, number) for number, wire in enumerate(wires)))
        answers = await asyncio.gather(
            *(wire.call("GET", f"/positions/c{number}") for number, wire in enumerate(wires))
        )
        positions = [answer["position"] for _, answer in answers]
        assert sum(positions) == 0
        assert any(positions)
        assert (await wires[0].call("GET", "/health"))[1]["clients"] == 200
        for wire in wires:
            wire.writer.close()

    with trading_interface("--scenario", "empty", "--max-orders-per-s", "3") as (_, ready):
        asyncio.run(play(ready))


def test_lost_or_stuck_readers_do_not_stop_the_market():
    """Cut sockets, and one that never reads: orders are answered, and another reader gets all its fills."""

    async def play(ready):
        ws = ready["ws_url"]
        host, port = ready["url"].removeprefix("http://").split(":")
        for _ in range(20):
            lost = await connect(f"{ws}/ws/md", proxy=None)
            lost.transport.abort()
        stuck = socket.create_connection((host, int(port)))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
        upgrade = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade"
        stuck.sendall(f"GET /ws/fills/b HTTP/1.1\r\n{upgrade}\r\n{key}\r\n\r\n".encode())
        async with (
            httpx.AsyncClient(base_url=ready["url"], timeout=60, trust_env=False) as client,
            connect(f"{ws}/ws/fills/b", proxy=None) as fills,
        ):
            await client.post("/order", json={"client_id": "a", **SELL, "size": 1000})
            wire = await Wire(ready).open()
            for _ in range(200):
                assert (await wire.call("POST", "/order", {"client_id": "b", **BUY, "size": 1}))[1]["filled"] == 1
            for _ in range(200):
                assert json.loads(await fills.recv())["size"] == 1
            assert (await wire.call("GET", "/positions/b"))[1]["position"] == 200
            wire.writer.close()
        stuck.close()

    with trading_interface("--scenario", "empty") as (process, ready):
        asyncio.run(play(ready))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_taken_port_raises_usage_error():
    """The message names the flag for another port."""
    with listening("127.0.0.1", 0) as taken, pytest.raises(UsageError, match="api_port"):
        listening("127.0.0.1", taken.getsockname()[1])


def test_connection_sends_without_delay():
    """Nagle's algorithm would add 40 ms per answer."""
    with listening("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
