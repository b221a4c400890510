"""Signals to a trader: kept until there is a handler, then handled in the event loop, and harmless afterwards."""

import asyncio
import os
import signal

import pytest

from mm.terminal.interrupts import ENDING, KILLING, TradeSignals
from support import run_python


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (*ENDING, KILLING)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_signals_before_the_loop_are_delivered_to_its_handlers():
    signals, taken = TradeSignals(), []

    async def scenario():
        signals.direct(lambda name: taken.append(("end", name)), lambda name: taken.append(("kill", name)))

    with signals.caught():
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        send(signal.SIGINT)
        asyncio.run(scenario())
    assert taken == [("kill", "SIGUSR1"), ("end", "SIGTERM")]
    assert signals.ending == "SIGTERM"


@pytest.mark.parametrize(
    ("number", "what"), [(signal.SIGTERM, "end"), (signal.SIGINT, "end"), (signal.SIGUSR1, "kill")]
)
def test_signal_wakes_a_sleeping_loop(number, what):
    signals = TradeSignals()

    async def scenario():
        taken = asyncio.get_running_loop().create_future()
        signals.direct(lambda name: taken.set_result(("end", name)), lambda name: taken.set_result(("kill", name)))
        send(number)
        async with asyncio.timeout(60):
            return await taken

    with signals.caught():
        assert asyncio.run(scenario()) == (what, number.name)


def test_signals_after_a_trade_are_harmless():
    """Their defaults would end the process with the signal for an exit code, where a supervisor waits for 75."""
    signals = TradeSignals()

    async def scenario():
        signals.direct(lambda _: None, lambda _: None)

    with signals.caught():
        asyncio.run(scenario())
        send(signal.SIGUSR1)
    for number in (*ENDING, KILLING):
        send(number)


def test_handlers_return_after_a_start_that_failed():
    signals, before = TradeSignals(), signal.getsignal(signal.SIGTERM)
    with signals.caught():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


REFUSED = """
import os, signal
from mm.errors import TryLater
from mm.terminal.exits import exit_code_of
from mm.terminal.interrupts import TradeSignals, interruptible

code = 0
with interruptible():
    try:
        with TradeSignals().caught():
            raise TryLater("another trader holds the symbol")
    except TryLater as error:
        os.kill(os.getpid(), signal.SIGTERM)
        code = exit_code_of(error)
os.kill(os.getpid(), signal.SIGTERM)
raise SystemExit(code)
"""


def test_sigterm_after_a_refused_start_leaves_the_exit_code(tmp_path):
    """A supervisor that gives a start up while it is refused sees 75, not -15."""
    assert run_python("-c", REFUSED, cwd=tmp_path).returncode == 75


def test_signal_after_the_end_is_ignored():
    signals = TradeSignals()
    with signals.caught():
        send(signal.SIGTERM)
    assert signals.ending == "SIGTERM"
    send(signal.SIGTERM)
    send(signal.SIGINT)


LATE = """
import asyncio, atexit, os, signal, sys
from mm.terminal.interrupts import TradeSignals, interruptible

async def trade(signals):
    signals.direct(lambda _: None, lambda _: None)

class Last:  # deleted while the interpreter ends, when Python has taken its own handlers back
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.SIGTERM):
        kill(process, number)

last, signals = Last(), TradeSignals()
atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
with interruptible():
    with signals.caught():
        asyncio.run(trade(signals))
    os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(75)
"""


def test_sigterm_after_the_end_leaves_the_exit_code(tmp_path):
    """A supervisor that stops a trader which has just ended with 75 sees 75, not -15, until the process is gone."""
    assert run_python("-c", LATE, cwd=tmp_path).returncode == 75
