"""A real recorder with a hostile host: bad connections and answers of every kind, then the exchange in a box."""

import asyncio
import base64
import hashlib
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest
from recorder_process import exchange_box, running_recorder
from test_soak import memory_mb

from day_files import defects_of
from day_oracle import hold

_MOST_MB = 250.0
_LASTS_S = 0.5
_UPDATE = b'{"stream":"simusdt@depth@100ms","data":{"e":"depthUpdate","E":%s,"s":"SIMUSDT","U":1,"u":1,"b":[],"a":[]}}'


def frame(payload, *, first=0x81):
    """Return a WebSocket frame as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2) + payload
    return bytes((first, 127)) + size.to_bytes(8) + payload


STREAMS = {
    "a message of 64 MB": [frame(b"x" * (64 << 20))],
    "a message of 15 MB": [frame(b"[" * (15 << 20))],
    "fragments without an end": [frame(b"x", first=0x01), *[frame(b"", first=0x00) * 10_000] * 20],
    "a flood of pings": [frame(b"p" * 100, first=0x89) * 1_000] * 100,
    "no UTF-8": [frame(b"\xff\xfe\x80" * 100)] * 50,
    "numbers of 400 digits": [frame(_UPDATE % (b"1" * 400))] * 50,
    "not a number": [frame(_UPDATE % b"NaN"), frame(_UPDATE % b"1e400")],
    "nested": [frame(b'{"stream":"simusdt@depth@100ms","data":' + b"[" * 100_000)],
    "reserved bits": [b"\xf1\x01x"],
    "no frames at all": [b"HTTP/1.1 500 No\r\n\r\n" * 1_000],
    "a frame without an end": [b"\x81\x7f" + (8 << 20).to_bytes(8) + b"x" * 1_000],
}
MESSAGE_AND_CLOSE = 10


class Host:
    """A server in front of a box: first a bad connection of each kind, then those of the box."""

    def __init__(self, box):
        self.ws, self.rest = (urlsplit(url).port for url in (box.ws_url, box.rest_url))
        self.streams = list(STREAMS.values())
        self.closes = MESSAGE_AND_CLOSE
        self.bad_depths = 3
        self.bad_infos = 2
        self.tasks = set()

    async def __aenter__(self):
        self.servers = [await asyncio.start_server(handler, "127.0.0.1", 0) for handler in (self.stream, self.answer)]
        ws, rest = (server.sockets[0].getsockname()[1] for server in self.servers)
        self.knobs = {"WS_URL": f"ws://127.0.0.1:{ws}", "REST_URL": f"http://127.0.0.1:{rest}"}
        return self

    async def __aexit__(self, *_):
        for server in self.servers:
            server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def stream(self, reader, writer):
        """Serve a stream connection."""
        self.tasks.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError), closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.streams:
                await self.upgrade(head, writer)
                await self.send(writer, self.streams.pop(0))
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(), _LASTS_S)
            elif self.closes:
                self.closes -= 1
                await self.upgrade(head, writer)
                await self.send(writer, [frame(b'{"stream":"x"}'), b"\x88\x02\x03\xe8"])
            else:
                await self.pipe(head, reader, writer, self.ws)

    async def answer(self, reader, writer):
        """Serve one request: a connection that is kept alive would pass requests by that the host means to answer."""
        self.tasks.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError), closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/depth" in head and self.bad_depths:
                self.bad_depths -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await self.send(writer, [b"10000\r\n" + b"[" * 0x10000 + b"\r\n"] * 1_000)
            elif b"/exchangeInfo" in head and self.bad_infos:
                self.bad_infos -= 1
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b" " * 1_000:
                    await self.send(writer, [bytes((byte,))])
                    await asyncio.sleep(1)
            else:
                await self.pipe(head[:-2] + b"Connection: close\r\n\r\n", reader, writer, self.rest)

    async def upgrade(self, head, writer):
        """Answer the handshake."""
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await self.send(writer, [head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"])

    async def send(self, writer, pieces):
        """Send all pieces at the pace of the reader."""
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    async def pipe(self, head, reader, writer, port):
        """Forward the connection to the box."""
        box_reader, box_writer = await asyncio.open_connection("127.0.0.1", port)
        box_writer.write(head)
        try:
            await asyncio.gather(self.copy(reader, box_writer), self.copy(box_reader, writer))
        finally:
            box_writer.close()

    async def copy(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.slow
def test_hostile_host_neither_ends_a_recorder_nor_fills_its_memory(tmp_path):
    """Readable messages of the host are in quarantine, and the day is otherwise that of the box."""

    async def run():
        async with exchange_box() as box, Host(box) as host, running_recorder(box, tmp_path, **host.knobs) as recorder:
            most_mb = 0.0

            def synced():
                nonlocal most_mb
                most_mb = max(most_mb, memory_mb(recorder.process.pid))
                return recorder.bytes_of("frames") > 50_000

            await recorder.until(synced)
            assert (host.streams, host.closes, host.bad_depths) == ([], 0, 0)
            code, _, output = await recorder.stop()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            print(f"{most_mb:.0f} MB at most, {len(day.quarantined)} messages in quarantine")
            assert most_mb < _MOST_MB
            assert len(day.logged("ws_connected")) == len(STREAMS) + MESSAGE_AND_CLOSE + 1
            assert len(day.quarantined) >= 50
            assert defects_of(recorder.day) == []

    asyncio.run(run())
