"""The count of what came within a window."""

from hypothesis import given
from hypothesis import strategies as st

from mm.sim.wire.limits import Window


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 5))
def test_no_more_than_the_limit_come_within_any_window(steps, most):
    """The window rolls; it is no bucket that lets a burst and its refill through within one second."""
    window, now, admitted = Window(most, 10), 0, []
    for step in steps:
        now += step
        if window.admit(now):
            admitted.append(now)
    assert all(sum(now - 10 < came <= now for came in admitted) <= most for now in admitted)


def test_a_refusal_says_when_the_next_one_would_be_let_in():
    """That is what Retry-After tells."""
    window = Window(2, 10)
    assert window.admit(0)
    assert window.free_in_s(0) == 0
    assert window.admit(3)
    assert not window.admit(4)
    assert 0 < window.free_in_s(4) <= 10
    assert window.admit(4 + 10)


def test_a_window_that_is_empty_can_be_forgotten():
    """Addresses that came once must not be remembered for ever."""
    window = Window(2, 10)
    window.admit(0)
    assert not window.forget(9.9)
    assert window.forget(10)
