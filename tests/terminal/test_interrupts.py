"""Signals that end a job."""

import os
import signal

import pytest

from mm.terminal.interrupts import Interrupted, deferred, interruptible


@pytest.mark.parametrize(
    ("number", "plain"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)]
)
def test_signal_handler_set_in_a_command_is_kept(number, plain):
    """A trader ignores the signal until the process exits; a signal ignored from the start stays ignored."""
    before = signal.getsignal(number)
    try:
        signal.signal(number, plain)
        with interruptible():
            assert signal.getsignal(number) != plain
        assert signal.getsignal(number) == plain
        with interruptible():
            signal.signal(number, signal.SIG_IGN)
        assert signal.getsignal(number) == signal.SIG_IGN
        with interruptible():
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_deferred_signal_is_raised_at_the_end_of_the_block(number):
    """A folder that was just made has its run, which removes it."""
    done = []
    with interruptible(), pytest.raises(Interrupted) as caught:  # noqa: PT012 - the block is the subject
        with deferred():
            os.kill(os.getpid(), number)
            done.append("made")
        done.append("after")
    assert (done, caught.value.number) == (["made"], number)
