"""The modules that a depth message passes from the socket to the files of the day.

A recorder built as by the command receives single messages from a socket, and the interpreter reports its calls
(`sys.setprofile`). Compiled code and modules of other packages are not included.
"""

import asyncio
import sys
from pathlib import Path
from types import FrameType

import mm
from benchmarks.plain_recorder import SYMBOL
from benchmarks.recorder import Feed, FeedServer
from boxed import Silent
from mm.cli.config import Name, Source
from mm.cli.task_knobs import Recorder
from mm.market_data import recorder
from mm.market_data.recording import Recording

MESSAGES, STEP_S = 30, 0.02
ARRIVES, GOES_OUT = "_Connection.data_received", "Inbox.hand_out"
"""Functions called by the event loop: bytes arrive, messages are delivered."""
MOST_MODULES, MOST_SWITCHES = 11, 28
"""Limits that may only decrease. `docs/architecture.md` shows the path."""
PACKAGE = Path(mm.__file__).parent


class DepthFeed(Feed):
    """A feed of depth messages only."""

    def messages(self, count):
        return (self.diff() for _ in range(count))


class Walk:
    """Record the functions called within `ARRIVES` and `GOES_OUT`, one walk per call by the event loop."""

    def __init__(self) -> None:
        self.walks: list[list[tuple[str, str]]] = []
        self._depth = 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            begins = not self._depth and frame.f_code.co_qualname in (ARRIVES, GOES_OUT)
            if begins:
                self.walks.append([])
            if begins or self._depth:
                self._depth += 1
                self._note(frame)
        elif event == "return" and self._depth:
            self._depth -= 1
            if self._depth and frame.f_back:
                self._note(frame.f_back)

    def _note(self, frame: FrameType) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            self.walks[-1].append((str(path.relative_to(PACKAGE).with_suffix("")), frame.f_code.co_qualname))


async def record(root: Path, walk: Walk) -> None:
    """Record messages that arrive one by one, with the walks of those after the first."""
    server = FeedServer(DepthFeed(), [1] * MESSAGES, STEP_S)
    await server.open()
    ws_url, rest_url = server.urls
    knobs = Recorder(
        ws_url=ws_url, rest_url=rest_url, window_start="always", start_jitter_s=0.0, flush_interval_s=600.0
    )
    log = Silent()
    recording = Recording(recorder.parts_of(Source(symbol=SYMBOL, data_root=root), knobs, Name(), log), log)
    task = asyncio.create_task(recording.run())
    while recording.session is None or not recording.session.report.book.epochs:
        await asyncio.sleep(0.01)
    sys.setprofile(walk)
    try:
        await server.sent.wait()
    finally:
        sys.setprofile(None)
    recording.stop("SIGTERM")
    await task
    server.close()
    assert recording.reports[0].book.frames == MESSAGES + 1


def modules_passed(walk: Walk) -> list[str]:
    """Return the modules on the path of a single message, in order, with consecutive repeats removed."""
    wholes = [
        [calls for calls in walk.walks if name in [function for _, function in calls]]
        for name in ("Inbox.put", "DayWriter.diff_of")
    ]
    ways = []
    for found in wholes:
        shortest = min(found, key=len)  # a walk of two messages, or with the end of a connection, is longer
        ways += [module for module, _ in shortest]
    return [module for at, module in enumerate(ways) if not at or ways[at - 1] != module]


def test_depth_message_passes_few_modules_from_socket_to_files(tmp_path):
    """Both the modules and the switches between them are limited."""
    walk = Walk()
    asyncio.run(record(tmp_path, walk))
    passed = modules_passed(walk)
    assert len(set(passed)) <= MOST_MODULES, passed
    assert len(passed) - 1 <= MOST_SWITCHES, passed
