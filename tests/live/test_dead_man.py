"""The dead man's switch: when it cancels, and that it never does while the trader gives a sign of life."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
import structlog
from test_watched_trader import free_port, guardian
from trading_box import STILL, host_of, venue

from mm.dayfolder.layout import DayFolder
from mm.live.pages.dead_man import DeadMan, FileBeat, PageBeat
from mm.live.venues.canceller import NoAnswer, OpenOrderText
from mm.market_data.health import ENDED, HealthReport
from support import ROOT

AFTER_S = 10.0


def order(order_id: int, qty: str = "1") -> OpenOrderText:
    return OpenOrderText("BTCUSDT", order_id, f"mm-{order_id}", "BUY", "99", qty, "0")


class World:
    """A trader, the line to it, and the exchange, second by second; stands for heartbeat and canceller."""

    def __init__(self) -> None:
        self.now_s, self.alive, self.line, self.answers = 1_000.0, True, True, True
        self.orders: dict[int, OpenOrderText] = {1: order(1), 2: order(2)}
        self.left: dict[int, OpenOrderText] = {}
        self.ended: dict[int, tuple[OpenOrderText, str]] = {}
        self.man = DeadMan(self, self, AFTER_S, structlog.get_logger(), lambda: self.now_s)

    def beats(self) -> bool:
        return self.alive and self.line

    def listed(self) -> list[OpenOrderText]:
        if not self.answers:
            raise NoAnswer("no line")
        return [*self.orders.values()]

    def sweep(self, may) -> int | None:
        self.left = {one.order_id: one for one in self.listed()}
        if self.left and not may():
            return None
        found = len(self.left)
        self.ended |= {key: (one, "CANCELED") for key, one in self.left.items()}
        self.orders, self.left = {}, {}
        return found

    def passes(self, seconds: float, step_s: float = 1.0) -> int:
        """Let time pass; return after how many steps orders were cancelled, 0 for none."""
        for number in range(1, round(seconds / step_s) + 1):
            self.now_s += step_s
            self.man.look()
            if self.ended:
                return number
        return 0


@pytest.fixture
def world() -> World:
    made = World()
    made.passes(3)
    return made


def test_orders_are_cancelled_once_the_trader_is_silent_for_the_time(world: World) -> None:
    assert world.passes(100) == 0
    world.alive = False
    assert AFTER_S <= world.passes(60) <= AFTER_S + 3
    assert world.orders == {}
    assert "lists no order" in world.man.trouble or not world.orders


def test_nothing_is_cancelled_before_a_first_sign_of_life() -> None:
    """A wrong address would cancel a living trader's orders."""
    world = World()
    world.line = False
    assert world.passes(100) == 0
    assert not world.man.armed
    assert "no heartbeat has come yet" in world.man.trouble


def test_a_beat_in_time_begins_anew(world: World) -> None:
    for _ in range(5):
        world.line = False
        assert world.passes(AFTER_S - 1) == 0
        world.line = True
        world.passes(1)
        assert world.man.trouble == ""


def test_trader_behind_a_cut_line_that_quotes_is_not_cancelled(world: World) -> None:
    """New orders at the exchange, or amended ones, are a sign of life; once they stop, so has the trader."""
    world.line = False
    for number in range(10, 40):
        world.orders = {number: order(number)}
        assert world.passes(AFTER_S / 2) == 0
    for qty in ("2", "3", "4"):
        world.orders = {39: order(39, qty)}
        assert world.passes(AFTER_S / 2) == 0
    assert AFTER_S / 2 <= world.passes(60) <= AFTER_S + 3


def test_fills_of_what_rests_are_no_sign_of_life(world: World) -> None:
    """The market fills the orders of a dead trader, too."""
    world.alive = False
    for filled in range(20):
        world.orders = {1: order(1)._replace(filled=str(filled))}
        if world.passes(1):
            break
    assert world.ended


def test_pause_of_this_process_is_no_silence_of_the_trader(world: World) -> None:
    """A machine that was suspended, a process that was stopped, a clock that was set."""
    world.line = False
    assert world.passes(4) == 0
    world.now_s += 10_000
    assert world.passes(2) == 0
    world.line = True
    assert world.passes(5) == 0


def test_order_that_comes_between_listing_and_cancel_keeps_all(world: World) -> None:
    world.alive = False
    swept = world.sweep

    def late(may):
        world.orders[77] = order(77)
        return swept(may)

    world.sweep = late
    assert world.passes(AFTER_S + 3) == 0


def test_beat_just_before_the_cancel_keeps_all(world: World) -> None:
    world.line = False
    swept = world.sweep

    def back(may):
        world.line = True
        return swept(may)

    world.sweep = back
    assert world.passes(60) == 0


def test_exchange_that_does_not_answer_is_asked_again(world: World) -> None:
    world.alive = world.answers = False
    assert world.passes(40) == 0
    assert "the exchange does not answer: no line" in world.man.trouble
    world.answers = True
    assert world.passes(AFTER_S + 5) > 0, "it stood still while we could look"


def test_file_beats_when_it_changes_not_when_it_is_there(tmp_path: Path) -> None:
    """What was shipped before a death is no sign of life; stamps of another clock count for nothing."""
    path = tmp_path / "shipped"
    heart = FileBeat(path, ["BTCUSDT"])
    assert not heart.beats()
    path.write_text("1")
    assert [heart.beats(), heart.beats()] == [False, False]
    path.write_text("2")
    os.utime(path, (1, 1))
    assert [heart.beats(), heart.beats()] == [True, False]


def test_copy_of_a_data_root_beats_by_reports_of_a_run_that_goes_on(tmp_path: Path) -> None:
    heart = FileBeat(tmp_path, ["BTCUSDT"])

    def report(at_us: int, state: str = "synced") -> bool:
        path = DayFolder(tmp_path, "BTCUSDT", "20260105").health
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(HealthReport("BTCUSDT", "r", 1, "h", state, at_us, 2.0)))
        return heart.beats()

    assert [report(at_us) for at_us in (1, 2, 2, 1)] == [False, True, False, True]
    assert not report(3, ENDED)


def test_page_that_is_away_does_not_beat() -> None:
    assert not PageBeat(f"http://127.0.0.1:{free_port()}").beats()


class Line:
    """A line between two machines: passes connections on until it is cut."""

    def __init__(self, to: int) -> None:
        self.whole, self._to = True, to
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            if not self.whole:
                near.close()
                continue
            try:
                with near, socket.create_connection(("127.0.0.1", self._to)) as far:
                    far.sendall(near.recv(1 << 16))
                    while part := far.recv(1 << 16):
                        near.sendall(part)
            except OSError:
                continue


@contextmanager
def second_machine(box, folder: Path, heartbeat: str):
    """Yield the switch as a process without anything of the trader's machine, and its log."""
    folder.mkdir()
    own = box.variables()
    keys = {name: own[name] for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET", "REST_URL", "VENUE")}
    plain = {"PATH": os.environ["PATH"], "TMPDIR": str(host_of(folder)), "PYTHONPATH": str(ROOT), **keys}
    words = ("--symbol", "SIMUSDT", "--cancel-after-s", "5", "--heartbeat", heartbeat, "--metrics-port", "0")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mm", "watchdog", *words], cwd=folder, env=plain, stdout=log, stderr=log
        )
        try:
            yield process, folder / "log"
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_orders_of_a_machine_that_is_gone_are_cancelled_from_another_one(tmp_path: Path) -> None:
    """The exchange's clock is two hours off, the line is cut and mended, the switch is stopped; then all dies."""
    port = free_port()
    with venue(tmp_path) as box, ExitStack() as held:
        box.post("/sim/faults", "at time 0 do clock_offset ms=7200000")
        terms = {**STILL, "METRICS_PORT": str(port), "REFRESH_INTERVAL_MS": "1000"}
        process = held.enter_context(box.trader(**terms))
        box.until(lambda: box.account()["openOrders"], "orders", process=process)
        line = Line(port)
        switch, log = held.enter_context(second_machine(box, tmp_path / "second", f"http://127.0.0.1:{line.port}"))
        box.until(lambda: "heartbeat_came" in log.read_text(), "a heartbeat", process=process)
        line.whole = False  # both live, and do not see each other
        time.sleep(9)
        line.whole = True
        switch.send_signal(signal.SIGSTOP)
        time.sleep(7)
        switch.send_signal(signal.SIGCONT)
        time.sleep(3)
        assert "dead_man_cancel" not in log.read_text()
        ends = [row for row in box.rows("cancel") if row.get("status") == "CANCELED"]
        assert process.poll() is None
        assert len(ends) > 2, "it refreshes its quotes"
        os.kill(guardian(process), signal.SIGKILL)
        process.kill()
        process.wait()
        left = box.account()["openOrders"]
        assert left, "a trader that refreshes its quotes has some"
        box.until(lambda: not box.account()["openOrders"], "the cancel from the second machine", 40)
        ours, text = {one["clientOrderId"] for one in left}, log.read_text()
        for one in box.account()["orders"]:  # some may have been filled meanwhile
            if one["clientOrderId"] in ours and one["status"] == "CANCELED":
                assert one["clientOrderId"] in text
        assert "dead_man_cancels" in text
