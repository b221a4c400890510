"""Random fault schedules with an exchange of known truth: every schedule leaves a true day.

The tests run in one process, without sockets, in virtual time; failures are shrunk to the fewest faults.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fed_by_hand import FAULTS, STEPS, Played, simulated_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from day_oracle import hold

SCHEDULES = 500

schedules = st.lists(st.tuples(st.integers(0, STEPS - 1), st.sampled_from(FAULTS), st.integers(1, 6)), max_size=8)


@pytest.mark.slow
@settings(
    max_examples=SCHEDULES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(st.integers(0, 9), schedules)
def test_day_is_true_and_sealed_after_any_fault_schedule(seed, schedule):
    """Every invariant holds for lost, changed and late messages, kills, and full disks."""
    played: list[Played] = []
    with TemporaryDirectory() as root, simulated_disk(played):
        played.append(Played(Path(root), seed))
        for number in range(STEPS):
            played[0].step(number, [(kind, amount) for at, kind, amount in schedule if at == number])
        played[0].end()
        hold(played[0].folder.path, played[0].exchange, wired=False)
