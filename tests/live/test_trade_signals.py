"""Signals to a trader: kept until there is a handler, then handled in the event loop, and harmless afterwards."""

import asyncio
import os
import signal

import pytest

from mm.cli.interrupts import ENDING, KILLING, TradeSignals


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


def test_kill_after_a_trade_is_harmless_and_other_handlers_return():
    """The default of SIGUSR1 would end the process while its files are written, with the signal for an exit code."""
    signals, before = TradeSignals(), signal.getsignal(signal.SIGTERM)

    async def scenario():
        signals.direct(lambda _: None, lambda _: None)

    with signals.caught():
        asyncio.run(scenario())
        send(signal.SIGUSR1)
    send(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_after_the_end_is_ignored():
    signals = TradeSignals()
    with signals.caught():
        send(signal.SIGTERM)
    assert signals.ending == "SIGTERM"
    send(signal.SIGTERM)
    send(signal.SIGINT)
