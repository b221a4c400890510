"""The simulated exchange's streams: messages per second to ten clients, processor share, and delays.

Each turn runs ``python -m benchmarks.wire SECONDS``, which prints one JSON object: a simulated exchange, with its
market, rules and truth, at a speed with a high message rate, and another process with ten clients that read.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.turns import PYTHON, Measured, Row, at_least, at_most, run

CLIENTS = 10
AIM = 5_000
BUSY = "it depends on what else the machine does"
SPEED = 150.0
SECONDS = 5.0
SCENARIO = "zero_intelligence"
_WARM_S = 0.5
_SYMBOL = "simusdt"
_STREAMS = f"{_SYMBOL}@depth@100ms/{_SYMBOL}@trade"
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


@dataclass(frozen=True, slots=True)
class Received:
    """Messages that the clients received.

    Attributes:
        messages: Number of messages of all clients.
        depth: Number of depth messages among them.
        bytes: Number of bytes of all clients.
        seconds: Duration of the measurement.
        lag_ms: Median delay in wall time, relative to the fastest message.
        late_ms: 99 % quantile of that delay.
    """

    messages: int
    depth: int
    bytes: int
    seconds: float
    lag_ms: float
    late_ms: float


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh pairs of processes."""
    outputs = [run([*PYTHON, "benchmarks.wire", str(SECONDS)]).output for _ in range(turns)]
    rows = [
        Row(f"messages, each of {CLIENTS} clients", "/s", [output["rate"] for output in outputs], aim=at_least(AIM)),
        Row("share of one core", "%", [output["share"] for output in outputs], aim=at_most(100)),
        Row(
            f"the same for {AIM:,} messages",
            "%",
            [output["share"] * AIM / output["rate"] for output in outputs],
            aim=at_most(100),
        ),
        Row("lag behind the fastest client", "ms", [output["lag_ms"] for output in outputs], aim=BUSY),
        Row("lag, p99", "ms", [output["late_ms"] for output in outputs], aim=BUSY),
        Row("time skipped to keep up", "s", [output["slipped_s"] for output in outputs], aim=at_most(0)),
    ]
    last = outputs[-1]
    facts = {key: last[key] for key in ("messages", "depth", "bytes", "rows")}
    return Measured(rows, facts, [f"{SCENARIO} at {SPEED:g} times the wall's speed, depth@100ms and trade"])


class _Client(asyncio.Protocol):
    """Counts received frames, and records their delays."""

    def __init__(self) -> None:
        self.messages = self.depth = self.bytes = 0
        self.lags: list[float] = []
        self._left = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the streams."""
        head = f"GET /ws/{_STREAMS}?timeUnit=MICROSECOND HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        upgrade = f"Upgrade: websocket\r\nSec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write((head + upgrade).encode())

    def data_received(self, data: bytes) -> None:
        """Count the frames of a packet."""
        now_s = time.monotonic()
        data = self._left + data
        at = 0 if self._open else data.index(b"\r\n\r\n") + 4
        self._open = True
        while (end := _end_of_frame(data, at)) <= len(data):
            self.messages += 1
            kind = data.find(b'"e":"depthUpdate"', at, at + 32) > 0
            self.depth += kind
            begin = data.index(b'"E":', at) + 4
            self.lags.append(now_s - int(data[begin : begin + 16]) / 1e6 / SPEED)
            at = end
        self.bytes += at
        self._left = data[at:]


def _end_of_frame(data: bytes, at: int) -> int:
    """Return the end of the frame at *at*; a position beyond the data if it is incomplete."""
    if len(data) < at + 4:
        return len(data) + 1
    size = data[at + 1]
    return at + 2 + size if size < 126 else at + 4 + int.from_bytes(data[at + 2 : at + 4])


async def _listen(port: int, seconds: float) -> Received:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(_Client, "127.0.0.1", port))[1] for _ in range(CLIENTS)]
    await asyncio.sleep(_WARM_S)
    for client in clients:
        client.messages = client.depth = client.bytes = 0
        client.lags.clear()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    seconds = time.monotonic() - began
    lags = sorted(lag for client in clients for lag in client.lags)
    late = lags[len(lags) * 99 // 100] - lags[0]
    return Received(
        sum(client.messages for client in clients),
        sum(client.depth for client in clients),
        sum(client.bytes for client in clients),
        seconds,
        (statistics.median(lags) - lags[0]) * 1e3,
        late * 1e3,
    )


async def _serve(seconds: float) -> dict[str, float]:
    from mm.clock import now_us
    from mm.sim.flow.scenario import SCENARIOS
    from mm.sim.flow.session import STEP_US, Session
    from mm.sim.wire.box import Box

    start_us = now_us() // STEP_US * STEP_US
    box = Box(SCENARIOS[SCENARIO](), Session(_SYMBOL.upper(), "20260105", 24.0, 7, start_us), speed=SPEED)
    rows = []
    box.exchange.listen(lambda chunk: rows.append(len(chunk)))
    async with box.open():
        port = box.ready()["ws_url"].rpartition(":")[2]
        command = (*PYTHON, "benchmarks.wire", str(seconds), port)
        client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert client.stdout
        while len(box.server.sockets) < CLIENTS:
            await asyncio.sleep(0.01)
        began, used, slipped_before = time.monotonic(), time.process_time(), box.scheduler.clock.slipped_s
        received = json.loads(await client.stdout.readline())
        share = 100 * (time.process_time() - used) / (time.monotonic() - began)
        rate = received["messages"] / received["seconds"] / CLIENTS
        slipped_s = box.scheduler.clock.slipped_s - slipped_before
    return {**received, "rate": rate, "share": share, "slipped_s": slipped_s, "rows": sum(rows)}


def main(seconds: str, port: str | None = None) -> None:
    """Serve for *seconds*, or read from *port* for *seconds*, and print the results."""
    length = float(seconds)
    found = asdict(asyncio.run(_listen(int(port), length))) if port else asyncio.run(_serve(length))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
