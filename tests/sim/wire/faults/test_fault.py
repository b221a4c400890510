"""Faults that hold messages back: what they hold comes late, in order and whole."""

from itertools import pairwise

import pytest
from stage import Stage


def depth(client) -> list[dict]:
    return client.events("depthUpdate")


def holes(events: list[dict]) -> list[tuple[int, int]]:
    """Return the ids that are missing between depth events: first and last of each hole."""
    return [(before["u"] + 1, after["U"] - 1) for before, after in pairwise(events) if after["U"] > before["u"] + 1]


def test_a_burst_holds_and_then_sends_all_in_order() -> None:
    """What arrives at once is still what would have come."""
    stage = Stage("at id 100 on 1 do burst n=60")
    client, other = stage.connect(), stage.connect()
    steps = []
    for _ in range(100):
        stage.play(10, chunk_ms=10)
        steps.append(len(client.frames))
    jumps = [after - before for before, after in pairwise(steps)]
    assert max(jumps) >= 60
    assert not holes(depth(client))
    assert client.events("trade") == other.events("trade")


@pytest.mark.parametrize("fault", ["lag delay_s=0.25 for_s=0.6", "halt for_s=0.555", "burst n=99999 for_s=0.444"])
@pytest.mark.parametrize("chunk_ms", [10, 100])
def test_what_is_held_comes_late_in_order_and_whole(fault: str, chunk_ms: int) -> None:
    """A late message is not a lost one."""
    stage = Stage(f"at time 0.3 do {fault}")
    client = stage.connect()
    plain = Stage("")
    same = plain.connect()
    behind = 0
    for _ in range(1_500 // chunk_ms):
        stage.play(chunk_ms, chunk_ms=chunk_ms)
        plain.play(chunk_ms, chunk_ms=chunk_ms)
        assert client.frames == same.frames[: len(client.frames)]
        behind = max(behind, len(same.frames) - len(client.frames))
    assert behind > 20
    assert client.frames == same.frames


def test_a_lagging_connection_is_late_by_its_delay() -> None:
    """Of two connections, one lags; the pair must still give one feed."""
    stage = Stage("at connect 2 do lag delay_s=0.3")
    quick, slow = stage.connect("simusdt@trade"), stage.connect("simusdt@trade")
    seen: dict[int, list[int]] = {1: [], 2: []}
    for _ in range(100):
        stage.play(10, chunk_ms=10)
        for client in (quick, slow):
            seen[client.id].append(len(client.frames))
    assert seen[2][30:] == seen[1][:-30]
