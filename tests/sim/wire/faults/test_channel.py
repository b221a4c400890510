"""The connections selected by a rule, and the log of the messages sent to each."""

from stage import Stage, depth, gaps, staged


def test_rule_selects_newest_numbered_or_random_connection() -> None:
    """Two connections of one recorder must be able to fail independently."""
    assert [len(gaps(depth(client))) for client in staged("at id 200 on newest do drop").clients] == [0, 1]
    assert [len(gaps(depth(client))) for client in staged("at id 200 on 1 do drop").clients] == [1, 0]
    hit = {
        tuple(len(gaps(depth(client))) for client in staged("at id 200 on random do drop", seed=seed).clients)
        for seed in range(8)
    }
    assert hit == {(0, 1), (1, 0)}


def test_rule_waits_for_a_connection_that_opens_later() -> None:
    """``on 3`` means the third, also when it opens after the moment."""
    stage = Stage("at id 10 on 2 do close code=1001 reason=bye")
    stage.connect()
    stage.play(200)
    late = stage.connect()
    assert late.calls == [(1001, "bye"), "closed"]
    assert len(stage.clients) == 1


def test_logs_of_closed_connections_are_dropped() -> None:
    """A storm of connects must not fill the memory; open connections keep their log."""
    stage = Stage("at connect 2 do storm n=500")
    first = stage.connect()
    for _ in range(200):
        stage.connect()
    stage.play(100)
    logs = stage.injector.scope.logs
    assert len(logs) < 70
    assert sum(logs[first.id].counts.values()) == len(first.frames)


def test_age_fault_closes_connections_at_their_age() -> None:
    """Also a connection that opened after the rule."""
    stage = Stage("at time 0.1 do age max_s=0.5")
    first = stage.connect()
    stage.play(300)
    second = stage.connect()
    stage.play(300)
    assert (first.calls, second.calls) == ([(1001, ""), "closed"], [])
    stage.play(300)
    assert second.calls == [(1001, ""), "closed"]


def test_phase_fault_applies_from_the_first_stream() -> None:
    """Two connections whose batches end at other times have different boundaries."""
    stage = Stage("at connect 1 do phase ms=5\nat connect 2 do phase ms=5\nat connect 3 do phase ms=55")
    clients = [stage.connect() for _ in range(3)]
    stage.play(500)
    borders = [[event["u"] for event in depth(client)] for client in clients]
    assert borders[0] == borders[1]
    assert set(borders[0]).isdisjoint(borders[2])
