"""Faults that delay messages: held messages arrive late, in order and complete."""

from itertools import pairwise

import pytest
from stage import Stage, depth, gaps


def test_burst_delays_messages_and_sends_all_in_order() -> None:
    """Nothing is lost."""
    stage = Stage("at id 100 on 1 do burst n=60")
    client, other = stage.connect(), stage.connect()
    steps = []
    for _ in range(100):
        stage.play(10, chunk_ms=10)
        steps.append(len(client.frames))
    jumps = [after - before for before, after in pairwise(steps)]
    assert max(jumps) >= 60
    assert not gaps(depth(client))
    assert client.events("trade") == other.events("trade")


@pytest.mark.parametrize("fault", ["lag delay_s=0.25 for_s=0.6", "halt for_s=0.555", "burst n=99999 for_s=0.444"])
@pytest.mark.parametrize("chunk_ms", [10, 100])
def test_delayed_messages_arrive_late_in_order_and_complete(fault: str, chunk_ms: int) -> None:
    """A late message is not a lost one."""
    stage = Stage(f"at time 0.3 do {fault}")
    client = stage.connect()
    plain = Stage("")
    same = plain.connect()
    largest_backlog = 0
    for _ in range(1_500 // chunk_ms):
        stage.play(chunk_ms, chunk_ms=chunk_ms)
        plain.play(chunk_ms, chunk_ms=chunk_ms)
        assert client.frames == same.frames[: len(client.frames)]
        largest_backlog = max(largest_backlog, len(same.frames) - len(client.frames))
    assert largest_backlog > 20
    assert client.frames == same.frames


def test_lagging_connection_is_late_by_its_delay() -> None:
    """Of two connections, one lags; the pair must still give one feed."""
    stage = Stage("at connect 2 do lag delay_s=0.3")
    quick, slow = stage.connect("simusdt@trade"), stage.connect("simusdt@trade")
    counts: dict[int, list[int]] = {1: [], 2: []}
    for _ in range(100):
        stage.play(10, chunk_ms=10)
        for client in (quick, slow):
            counts[client.id].append(len(client.frames))
    assert counts[2][30:] == counts[1][:-30]


def test_delay_grows_evenly_on_connections_that_open_later_too() -> None:
    """A client that connects anew is as late as one that stays, and neither is ever silent."""
    stage, plain = Stage("at time 0 do delay delay_s=0.4 grow_s=0.8"), Stage("")
    clients = [(stage.connect("simusdt@trade"), plain.connect("simusdt@trade"))]
    due = {300: 200, 600: 400, 900: 600, 1_200: 800, 1_400: 1_000}  # since, in ms, what has left within the latter
    sent: dict[int, int] = {}
    for now_ms in range(10, 1_500, 10):
        stage.play(10, chunk_ms=10)
        plain.play(10, chunk_ms=10)
        sent[now_ms] = len(plain.clients[0].frames)
        if now_ms == 500:
            clients.append((stage.connect("simusdt@trade"), plain.connect("simusdt@trade")))
        if now_ms in due:
            assert abs(len(clients[0][0].frames) - sent[due[now_ms]]) <= 2
    (first, all_of_first), (second, all_of_second) = clients
    assert first.frames == all_of_first.frames[: len(first.frames)]
    assert second.frames == all_of_second.frames[: len(second.frames)]
    assert len(all_of_first.frames) - len(first.frames) == len(all_of_second.frames) - len(second.frames) > 10
