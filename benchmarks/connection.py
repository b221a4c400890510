"""One connection, ours (``link``) or the library's (``library``): cost per message, and lateness of its timestamp.

``python -m benchmarks.connection KIND WS_URL REST_URL`` receives until the other side closes, and prints JSON.
"""

import asyncio
import json
import re
import sys
import time
from urllib.request import urlopen

from websockets.asyncio.client import connect

from benchmarks.plain_recorder import SYMBOL
from mm.clock import now_us
from mm.market_data.ws_link import Inbox, Link

_STAMP = re.compile(rb'"E":(\d+)')
_HEAD_BYTES = 100


class Arrivals:
    """Arrival times and first bytes of messages: a listener that does nothing else.

    Attributes:
        received: Arrival time in µs and first bytes of each message.
    """

    def __init__(self) -> None:
        self.received: list[tuple[int, bytes]] = []

    def message(self, recv_us: int, _conn: int, _slot: int, raw: bytes) -> None:
        """Record a message."""
        self.received.append((recv_us, raw[:_HEAD_BYTES]))

    def connected(self, *_connection: object) -> None:
        """Ignore the opening."""

    disconnected = unreachable = connected

    def joined(self, _conn: int) -> bool:
        """Return True: there is one connection."""
        return True


async def by_link(url: str, arrivals: Arrivals) -> None:
    """Receive over our connection."""
    inbox = Inbox()
    link = Link(inbox, url, 0)
    inbox.links.append(link)
    await link.open()
    await inbox.hand_out(arrivals, lambda: True)


async def by_library(url: str, arrivals: Arrivals) -> None:
    """Receive over the library's connection; a message is timestamped on delivery."""
    async with connect(url, compression=None, max_size=None) as connection:
        while True:
            try:
                raw = await connection.recv(decode=False)
            except Exception:
                return
            arrivals.message(now_us(), 1, 0, raw)


async def measured(kind: str, ws_url: str, rest_url: str) -> dict[str, float]:
    """Return the number of messages, processor time per message in µs, and the 99 % quantile of the lateness in ms."""
    arrivals = Arrivals()
    url = f"{ws_url}/stream?streams={SYMBOL.lower()}@depth@100ms"
    reading = asyncio.create_task((by_link if kind == "link" else by_library)(url, arrivals))
    while not arrivals.received:  # the first message arrives at once, all others after a request for the book
        await asyncio.sleep(0.01)
    await asyncio.to_thread(lambda: urlopen(f"{rest_url}/api/v3/depth").read())
    began_s = time.process_time()
    await reading
    used_s = time.process_time() - began_s
    stamps = [(recv_us, _STAMP.search(head)) for recv_us, head in arrivals.received]
    late_us = sorted(recv_us - int(found.group(1)) for recv_us, found in stamps if found)
    count = len(arrivals.received)
    return {"messages": count, "us": 1e6 * used_s / count, "late_ms": late_us[len(late_us) * 99 // 100] / 1e3}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(*sys.argv[1:]))), flush=True)
