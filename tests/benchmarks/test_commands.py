"""``mm bench day`` on half a minute of market: its rows are whole, whatever the times are."""

from benchmarks import commands


def test_the_rows_tell_pace_memory_and_work_done(monkeypatch):
    """A rate is market over work, not the other way round, and a turn is a whole run of the command."""
    monkeypatch.setattr(commands, "HOURS", 0.01)
    measured = commands.simulated_day(2)
    pace, user, whole_day, memory = measured.rows
    assert len(pace.ours) == len(memory.ours) == 2
    assert all(abs(rate * seconds - 14 * 3600) < 1e-6 for rate, seconds in zip(pace.ours, whole_day.ours, strict=True))
    assert min(user.ours) > 0
    assert measured.facts["depth_messages"] > 300
    assert measured.facts["trades"] > 0
