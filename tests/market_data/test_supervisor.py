"""Several recorders side by side, as processes: real recorders where it matters, short scripts where it does not."""

import asyncio
import signal

import pytest

from mm.market_data import recorder as module
from mm.market_data.recorder import Supervisor, worst


class Log:
    """Keep what is told."""

    def __init__(self):
        self.lines = []

    def info(self, event, **numbers):
        self.lines.append((event, numbers))

    warning = info

    def of(self, event):
        return [numbers for told, numbers in self.lines if told == event]


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(module, "MOST_DELAY_S", 0.01)


def supervised(scripts, *, due=lambda: True, during=None, **settings):
    """Run a script of shell for each symbol; it gets the number of its start as ``$0``."""
    log = Log()

    def command(symbol, start):
        return ["/bin/sh", "-c", scripts[symbol], str(start)]

    async def run():
        keeper = Supervisor(list(scripts), command, log, due, **settings)
        helper = asyncio.create_task(during(keeper, log)) if during else None
        codes = await asyncio.wait_for(keeper.run(), 30)
        if helper:
            await helper
        return codes, keeper.answers

    return *asyncio.run(run()), log


async def until(there):
    while not there():
        await asyncio.sleep(0.01)


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """Where scripts leave a file when they are ready for a signal; waits for so many of them."""
    monkeypatch.chdir(tmp_path)
    return lambda count: until(lambda: len(list(tmp_path.glob("ready_*"))) == count)


def test_each_symbol_ends_for_itself():
    """One that is done stays done, whatever happens to the others."""
    codes, _, log = supervised({"A": "exit 0", "B": "exit 2", "C": "exit 3"})
    assert codes == {"A": 0, "B": 2, "C": 3}
    assert sorted(told["symbol"] for told in log.of("recorder_started")) == ["A", "B", "C"]


def test_one_that_dies_is_started_again_and_no_other():
    """A crash, a kill −9 and a full disk are over some time; the others record on."""
    scripts = {"A": "case $0 in 1) exit 1;; 2) kill -9 $$;; 3) exit 75;; esac; exit 0", "B": "exit 0"}
    codes, _, log = supervised(scripts)
    assert codes == {"A": 0, "B": 0}
    assert [(told["symbol"], told["code"]) for told in log.of("recorder_died")] == [("A", 1), ("A", -9), ("A", 75)]


def test_none_is_started_when_the_window_is_over():
    """A recorder that were started then would wait for tomorrow."""
    codes, _, log = supervised({"A": "exit 75"}, due=lambda: False)
    assert codes == {"A": 75}
    assert len(log.of("recorder_started")) == 1


def test_a_signal_is_passed_on_and_waited_for(marks):
    """What each one still has to write is written before this one ends."""
    loop = "trap 'sleep 0.05; echo sealed; exit 0' TERM; echo up; : > ready_$$; while :; do sleep 0.01; done"

    async def stop(keeper, log):
        await marks(2)
        keeper.stop(signal.SIGTERM)

    codes, answers, _ = supervised({"A": loop, "B": loop}, during=stop, capture=True)
    assert codes == {"A": 0, "B": 0}
    assert answers == {"A": "up\nsealed\n", "B": "up\nsealed\n"}


def test_a_signal_during_the_wait_for_another_start_ends_it(monkeypatch):
    """A symbol that is down when the stop comes must not come up again."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 60.0)
    monkeypatch.setattr(module, "MOST_DELAY_S", 60.0)

    async def stop(keeper, log):
        await until(
            lambda: log.of("recorder_died") and {"A", "B"} <= {told["symbol"] for told in log.of("recorder_started")}
        )
        keeper.stop(signal.SIGTERM)

    codes, _, _ = supervised({"A": "exit 1", "B": "sleep 60"}, during=stop, spread_s=0.01)
    assert codes == {"A": 1, "B": -15}


def test_one_that_does_not_end_is_killed(monkeypatch, marks):
    """A hanging disk must not keep a machine from going down."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)

    async def stop(keeper, log):
        await marks(1)
        keeper.stop(signal.SIGTERM)

    codes, _, log = supervised({"A": "trap '' TERM; : > ready_1; while :; do sleep 0.01; done"}, during=stop)
    assert codes == {"A": -9}
    assert log.of("recorder_killed")


def test_the_worst_end_stands_for_all():
    """Unforeseen before a wrong knob, before a damaged day, before no space."""
    assert worst({}) == worst({"A": 0}) == 0
    assert worst({"A": 0, "B": 75}) == 75
    assert worst({"A": 75, "B": 3, "C": 2}) == 2
    assert worst({"A": -9, "B": 2}) == 1
