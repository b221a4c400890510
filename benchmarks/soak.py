"""A long run of a recorder at a high rate: its memory, its processor time per message, and lost messages.

``python -m benchmarks.soak --hours 14`` sends 14 hours of a market, 2,000 messages per second of market time, as fast
as the machine allows, and prints a row for every quarter of an hour. The recorder is a separate process, with its
files, gzip and fsync; its clock is that of the market (`market_clock`), so that its deadlines occur as often as in 14
hours. The price is a random walk, so that levels appear and disappear. The exit code is 1 if the memory grows or a
message is lost. 14 hours take about 21 GB of disk under ``--folder``, which are removed at the end, and an hour or
more.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from benchmarks.market_clock import MarketClock
from benchmarks.plain_recorder import SYMBOL
from benchmarks.recorder import LEVELS_PER_DIFF, Feed, FeedServer
from mm.clock import DAY_ZONE, US_PER_S, midnight_us

DAY = "20260105"
RATE, DEPTHS_PER_S = 2_000, 100
MAX_MB, MAX_GROWTH_MB = 150.0, 20.0
WARM = 0.1
"""Share of the time after which memory must stop growing."""
BYTES_PER_MESSAGE = 230
_BATCH = 200
_MAX_UNRECEIVED = 2_000
_MID_TICKS, _REACH, _MAX_DRIFT = 6_000_000, 1_000, 2_000
_SHAPES = 2_048
_MOVE_PROBABILITY = 0.3
_POLL_S = 0.005


class WanderingFeed(Feed):
    """Messages of a symbol whose price is a random walk; most of their text is made in advance, to save time."""

    def __init__(self, clock: Callable[[], int], seed: int = 7) -> None:
        super().__init__(_REACH, seed)
        self._clock = clock
        self._draw = random.Random(seed + 1)
        self._away = 0
        low = _MID_TICKS - _MAX_DRIFT - 2 * _REACH
        self._low = low
        self._prices = [_price(ticks) for ticks in range(low, 2 * _MID_TICKS - low)]
        self._shapes = [self._shape() for _ in range(_SHAPES)]
        self._quantities = [f"{self._draw.randrange(1, 10**5) / 1e5:.8f}" for _ in range(_SHAPES)]
        self._made = 0
        self._last_id, self._last_trade = 1_000, 0

    def batch(self, count: int) -> list[bytes]:
        """Return the next complete messages."""
        every = RATE // DEPTHS_PER_S
        messages = []
        for _ in range(count):
            messages.append(self._trade_now() if self._made % every else self.depth())
            self._made += 1
        return messages

    def depth(self) -> bytes:
        """Return the next complete depth message; sometimes the price moves by a tick, and a level is consumed."""
        draw = self._draw
        consumed: tuple[list[str], list[str]] = ([], [])
        if draw.random() < _MOVE_PROBABILITY:
            up = draw.random() < 0.5 - 0.5 * self._away / _MAX_DRIFT
            self._away += 1 if up else -1
            consumed[up].append(f'["{self._at(0)}","0.00000000"]')
        bids, asks = self._shapes[draw.randrange(_SHAPES)]
        at, prices = self._away + _MID_TICKS - self._low, self._prices
        bid_text = ",".join([*consumed[0], *[f'["{prices[at - away]}","{qty}"]' for away, qty in bids]])
        ask_text = ",".join([*consumed[1], *[f'["{prices[at + away]}","{qty}"]' for away, qty in asks]])
        first, self._last_id = self._last_id + 1, self._last_id + 60
        text = (
            f'{{"stream":"{SYMBOL.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{self._clock()},"s":"{SYMBOL}",'
            f'"U":{first},"u":{self._last_id},"b":[{bid_text}],"a":[{ask_text}]}}}}'
        )
        return text.encode()

    def _trade_now(self) -> bytes:
        us = self._clock()
        self._last_trade = number = self._last_trade + 1
        qty = self._quantities[number % _SHAPES]
        text = (
            f'{{"stream":"{SYMBOL.lower()}@trade","data":{{"e":"trade","E":{us},"s":"{SYMBOL}","t":{number},'
            f'"p":"{self._at(1)}","q":"{qty}","T":{us},"m":false,"M":true}}}}'
        )
        return text.encode()

    def _at(self, away: int) -> str:
        return self._prices[self._away + _MID_TICKS - self._low + away]

    def _shape(self) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
        """Return the levels that a message changes, by side: distance from the middle, and quantity."""
        draw = self._draw
        sides: tuple[dict[int, str], dict[int, str]] = ({}, {})
        for _ in range(1 + int(draw.expovariate(1 / LEVELS_PER_DIFF))):
            away = 1 + min(int(draw.expovariate(1 / 150)), _REACH - 1)
            removed = away > 1 and draw.random() < 0.25
            sides[draw.random() < 0.5][away] = "0.00000000" if removed else f"{draw.randrange(1, 10**6) / 1e5:.8f}"
        return list(sides[0].items()), list(sides[1].items())


class SoakServer(FeedServer):
    """Sends a market as fast as its recorder receives it, and sets the market's time.

    Args:
        clock: Time of the market.
        messages: Number of messages to send.

    Attributes:
        sent_count: Number of sent messages.
        left: Whether the recorder closed the connection early.
    """

    def __init__(self, clock: MarketClock, messages: int) -> None:
        feed = WanderingFeed(lambda: clock.us)
        super().__init__(feed, ())
        self.sent_count = 0
        self.left = False
        self._market = feed
        self._clock = clock
        self._messages = messages

    async def _send(self, client: ServerConnection) -> None:
        self._write_atomic(client, [self._market.depth()])
        await self._requested.wait()
        await asyncio.sleep(0.5)
        clock, step_us = self._clock, US_PER_S * _BATCH // RATE
        while self.sent_count < self._messages and client.state is State.OPEN:
            if self.sent_count - clock.taken > _MAX_UNRECEIVED:
                clock.us += round(US_PER_S * _POLL_S)  # so that the recorder's timers expire
                await asyncio.sleep(_POLL_S)
                continue
            clock.us += step_us
            self._write_atomic(client, self._market.batch(_BATCH))
            self.sent_count += _BATCH
            await asyncio.sleep(0)
        self.left = self.sent_count < self._messages
        self.sent.set()
        await client.wait_closed()

    def _write_atomic(self, client: ServerConnection, messages: list[bytes]) -> None:
        """Write messages, one frame each, in one write."""
        parts = []
        for body in messages:
            size = len(body)
            long = b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)
            parts += [b"\x81", bytes((size,)) if size < 126 else long, body]
        client.transport.write(b"".join(parts))


class Sample(NamedTuple):
    """The recorder at one instant.

    Attributes:
        market_s: Time of the market since the start.
        messages: Number of received messages.
        memory_mb: Resident memory.
        cpu_s: Processor time, including system time.
        disk_mb: Size of its files.
    """

    market_s: float
    messages: int
    memory_mb: float
    cpu_s: float
    disk_mb: float


@dataclass(frozen=True)
class Soaked:
    """Results of a soak.

    Attributes:
        samples: Samples in order; the first one is that of the start.
        sent: Number of sent messages.
        report: The recorder's own report at the end.
        left: Whether the recorder closed the connection, so that the soak ended early.
    """

    samples: list[Sample]
    sent: int
    report: dict[str, Any]
    left: bool = False

    @property
    def recorded(self) -> int:
        """Number of messages in the recorded days."""
        return sum(day["diffs"] + day["trades"] for day in self.report["days"])

    def violations(self) -> list[str]:
        """Return descriptions of all violated requirements."""
        violations = ["the recorder has ended the connection"] if self.left else []
        if self.recorded != self.sent + 1:
            violations.append(f"{self.sent + 1} messages were sent, {self.recorded} are recorded")
        gaps = {name: sum(day[name] for day in self.report["days"]) for name in ("gaps", "trade_gaps", "quarantined")}
        if any(gaps.values()):
            violations.append(f"not zero: {gaps}")
        warm = [sample.memory_mb for sample in self.samples if sample.market_s >= WARM * self.samples[-1].market_s]
        if max(warm) - warm[0] > MAX_GROWTH_MB:
            violations.append(f"memory has grown from {warm[0]:.1f} to {max(warm):.1f} MB")
        if max(warm) > MAX_MB:
            violations.append(f"memory was {max(warm):.1f} MB, {MAX_MB:.0f} are the most")
        return violations


def row(before: Sample, now: Sample) -> str:
    """Return a sample as a row of the table."""
    us = 1e6 * (now.cpu_s - before.cpu_s) / max(now.messages - before.messages, 1)
    minutes = round(now.market_s / 60)
    return (
        f"{minutes // 60:>3}:{minutes % 60:02} {now.messages:>13,} {now.disk_mb:>10,.0f} "
        f"{now.memory_mb:>9.1f} {us:>14.1f}"
    )


HEAD = f"{'time':>6} {'messages':>13} {'disk MB':>10} {'RSS MB':>9} {'us a message':>14}"


async def soak(hours: float, folder: Path, every_s: float, print_line: Callable[[str], None]) -> Soaked:
    """Record *hours* of a market in *folder*, with a sample every *every_s* of its time; rows go to *print_line*."""
    clock = MarketClock(folder / "clock")
    begins_us = clock.us = midnight_us(DAY) + 1_800 * US_PER_S
    server = SoakServer(clock, round(hours * 3600 * RATE))
    await server.open()
    (folder / "tmp").mkdir()
    launcher = str(Path(__file__).with_name("market_clock.py"))
    command = [sys.executable, launcher, str(folder / "clock"), "record", "--json", "--ws-url", server.urls[0]]
    command += ["--rest-url", server.urls[1], "--symbol", SYMBOL, "--data-root", str(folder / "data")]
    command += ["--window-start", "always", "--window-tz", DAY_ZONE, "--start-jitter-s", "0", "--log-level", "ERROR"]
    root = str(Path(__file__).resolve().parents[1])
    env = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": root}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=env)
    ended = asyncio.create_task(process.wait())
    samples, due_s = [], 0.0
    print_line(HEAD)
    while not (server.sent.is_set() and clock.taken + 16 >= server.sent_count) and not (ended.done() or server.left):
        if not server.sent_count:  # nothing advances the time yet
            clock.us += round(US_PER_S * _POLL_S)
        market_s = (clock.us - begins_us) / US_PER_S
        if server.sent_count and market_s >= due_s:
            samples.append(_sample(process.pid, market_s, clock, folder))
            due_s += every_s
            if len(samples) > 1:
                print_line(row(*samples[-2:]))
        await asyncio.wait({ended}, timeout=_POLL_S)
    if not ended.done():
        samples.append(_sample(process.pid, (clock.us - begins_us) / US_PER_S, clock, folder))
        print_line(row(*samples[-2:]))
        process.send_signal(signal.SIGTERM)
    ticking = asyncio.create_task(_tick(clock))
    out = await process.stdout.read() if process.stdout else b""
    await ended
    ticking.cancel()
    server.close()
    return Soaked(samples, server.sent_count, json.loads(out.splitlines()[-1]), server.left)


async def _tick(clock: MarketClock) -> None:
    """Advance the time of the market with wall time: nothing else advances it."""
    while True:
        await asyncio.sleep(_POLL_S)
        clock.us += round(US_PER_S * _POLL_S)


def _sample(pid: int, market_s: float, clock: MarketClock, folder: Path) -> Sample:
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    written = sum(path.stat().st_size for path in (folder / "data").rglob("*") if path.is_file())
    return Sample(market_s, clock.taken, memory, cpu_s, written / 1e6)


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}000000"


def main() -> int:
    """Soak a recorder, print the table, and return 1 if a requirement is violated."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=14.0, help="length in hours of market time")
    parser.add_argument("--every-min", type=float, default=15.0, help="minutes of market time between rows")
    parser.add_argument(
        "--folder", type=Path, default=None, help="parent of the day's folder, which is removed at the end"
    )
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="soak_", dir=options.folder))
    needed_mb = options.hours * 3600 * RATE * BYTES_PER_MESSAGE / 1e6
    if shutil.disk_usage(root).free / 1e6 < needed_mb:
        print(f"{root}: {needed_mb:,.0f} MB are needed; give a larger --folder, or fewer --hours", file=sys.stderr)
        return 75
    begun_s = time.monotonic()
    try:
        soaked = asyncio.run(soak(options.hours, root, 60 * options.every_min, lambda text: print(text, flush=True)))
    finally:
        shutil.rmtree(root)
    first, last = soaked.samples[0], soaked.samples[-1]
    us = 1e6 * (last.cpu_s - first.cpu_s) / max(last.messages - first.messages, 1)
    took_s = time.monotonic() - begun_s
    print(
        f"{soaked.sent:,} messages in {took_s:,.0f} s, {us:.1f} us of processor a message, {soaked.recorded:,} recorded"
    )
    for violation in soaked.violations():
        print(f"VIOLATION: {violation}")
    return int(bool(soaked.violations()))


if __name__ == "__main__":
    sys.exit(main())
