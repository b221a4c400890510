"""Progress of a backtest in events, as a bar of a command shows it."""

from extreme_player import market
from mm.backtest.replay import by_events


def test_progress_counts_processed_events():
    """Progress counts events instead of µs of tape time; a second run counts all tapes again."""
    tapes, steps = [market(), market(86_400_000_000)], []
    advance = by_events(tapes, steps.append)
    for _ in range(2):
        for tape in tapes:
            length_us, half_us = tape.end_us - tape.start_us, (tape.end_us - tape.start_us) // 2
            advance(half_us)
            assert steps[-1] == sum(us <= tape.start_us + half_us for us in tape.event_us.tolist())
            advance(length_us - half_us)
    assert sum(steps) == 2 * sum(map(len, tapes))
