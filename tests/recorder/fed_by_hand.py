"""A recorder that is fed directly with the messages of a tiny exchange, in virtual time, and its faults."""

import errno
import os
from collections import deque
from contextlib import contextmanager

from tiny_exchange import SYMBOL, TinyExchange

from hand_fed import answer, open_day, record_into
from mm import DayFolder
from mm.clock import midnight_us

DAY = "20260105"
STEPS = 40
FAULTS = ("drop", "twice", "swap", "stale", "garbage", "cut", "kill", "full", "late", "old", "broken", "back")
_FLUSH_EVERY = 5
_URL = f"http://x/api/v3/depth?symbol={SYMBOL}"


class Played:
    """A recorder that is fed step by step, without a socket, and its faults."""

    def __init__(self, root, seed):
        self.folder = DayFolder(root, SYMBOL, DAY)
        self.exchange = TinyExchange(seed, midnight_us(DAY) + 8 * 3_600_000_000)
        self.past = deque(maxlen=6)
        self.full = self.lost = self.runs = self.conns = 0
        self.wanted_since = None
        self.snapshots = deque()
        self.behind_us = 0
        self.start()

    @property
    def now_us(self):
        """The recorder's clock: 500 µs ahead of the exchange's, less the time that it was set back."""
        return self.exchange.us + 500 - self.behind_us

    def start(self):
        """Begin a run."""
        self.runs += 1
        self.writer = open_day(self.folder, f"run{self.runs}")
        self.writer.wait_for_space()
        earlier = self.writer.earlier
        self.writer.event(self.now_us, "run_start", earlier.epoch_id, {"version": "0", "knobs": {}})
        for run_id in earlier.open_runs:
            self.writer.event(self.now_us, "crash_recovered", earlier.epoch_id, {"previous_run_id": run_id})
        for path, lost in earlier.lost.items():
            details = {"path": self.folder.relative(path), "bytes": lost, "lost_s": 5.0}
            self.writer.event(self.now_us, "tail_recovered", earlier.epoch_id, details)
        self.session = record_into(self.writer, self.now_us)
        self.connect()

    def connect(self):
        self.conns += 1
        self.wanted_since = None
        self.session.connected(self.now_us, "ws://x", self.conns)

    def step(self, number, faults):
        """Play one interval, with the faults that begin in it."""
        messages = self.exchange.advance()
        for kind, amount in faults:
            messages = self.inject(kind, amount, messages)
        for raw in messages:
            self.past.append(raw)
            if self.lost:
                self.lost -= 1
            else:
                self.session.message(self.now_us, raw, self.conns, number / 10)
        self.answer(number)
        if number % _FLUSH_EVERY == 0:
            try:
                self.writer.flush()
            except OSError as error:
                self.session.event(self.now_us, "disk_full", {"errno": error.errno})

    def inject(self, kind, amount, messages):
        if kind == "drop":
            self.lost += amount
        elif kind == "twice":
            return [*messages, *messages]
        elif kind == "swap":
            return messages[::-1]
        elif kind == "stale":
            return [*messages, *list(self.past)[:amount]]
        elif kind == "garbage":
            return [messages[0][: 7 * amount], *messages[1:]]
        elif kind == "cut":
            self.session.disconnected(self.now_us, self.conns, 1006, "cut")
            self.lost += amount - 1
            self.connect()
        elif kind == "kill":
            self.kill(amount)
        elif kind == "full":
            self.full = 0 if self.full else 1
        elif kind == "back":
            self.behind_us += 1_000 * amount
        else:
            self.snapshots.append((kind, amount))
        return messages

    def kill(self, amount):
        """End the run as a power cut would, with part of a row after the last whole one."""
        self.full = 0
        self.writer.close(flush=False)
        for path in (self.folder.frames, self.folder.trades, self.folder.diffs)[: amount % 4]:
            with path.open("ab") as stream:
                stream.write(
                    b"1795180182351" if path.suffix == ".csv" else b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab"[:amount]
                )
        self.start()

    def answer(self, number):
        """Answer a snapshot request if the schedule has one due."""
        if not self.session.needs_snapshot:
            self.wanted_since = None
            return
        if self.wanted_since is None:
            self.wanted_since = number
            self.session.snapshot_requested(self.now_us, 1)
        kind, amount = self.snapshots[0] if self.snapshots else ("", 0)
        if number - self.wanted_since < (amount if kind == "late" else 1) or self.full:
            return
        if self.snapshots:
            self.snapshots.popleft()
        body = self.exchange.snapshot(3 * amount if kind == "old" else 0)
        body = body[:-amount] if kind == "broken" else body
        self.wanted_since = None
        self.session.snapshot_answered(answer(self.now_us, _URL, body))

    def end(self):
        """End the run in order, on a disk that has space again."""
        self.full = 0
        self.writer.flush()
        self.session.finish(self.now_us, "SIGTERM", window_over=False)
        self.writer.seal()
        self.writer.close()


@contextmanager
def simulated_disk(played):
    """Let all writes but those of the ledger fail while the disk of *played* is full, and disable fsync."""
    write, force = os.write, os.fsync

    def maybe(fd, data):
        if played and played[0].full and "events" not in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    os.write, os.fsync = maybe, lambda _fd: None
    try:
        yield
    finally:
        os.write, os.fsync = write, force
