"""The effect of a script on connections, without a socket: selection, time, repetition and equal results per seed."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import STREAMS, Stage, depth, gaps, staged

from mm.sim.wire.faults.script import as_rules
from mm.sim.wire.faults.table import FAULTS


def test_empty_script_changes_nothing() -> None:
    """The hooks alone must not be a fault."""
    stage = staged("")
    for client in stage.clients:
        assert not gaps(depth(client))
        assert [event["t"] for event in client.events("trade")] == [*range(1, stage.truth.last_trade_id + 1)]


@pytest.mark.parametrize(("chunk_ms", "at"), [(1, 300), (20, 300), (500, 300), (20, 301)])
def test_rule_applies_at_its_id_for_any_chunk_size(chunk_ms: int, at: int) -> None:
    """The same script gives the same gap on a busy and on an idle server."""
    stage = Stage(f"at id {at} on 1 do drop")
    client, other = stage.connect(), stage.connect()
    stage.play(2_000, chunk_ms=chunk_ms)
    ((first, last),) = gaps(depth(client))
    assert first <= at <= last
    assert not gaps(depth(other))
    assert stage.injector.scope.logs[1].lost == {"drop": 1}


@pytest.mark.parametrize("moment", ["id 300", "trade 40", "time 0.3333"])
def test_messages_before_the_moment_are_sent_before_the_fault(moment: str) -> None:
    """A connection that is closed at an id has received everything before it, also in one long step."""
    results = []
    for chunk_ms in (1, 20, 500):
        stage = Stage(f"at {moment} do close")
        client = stage.connect(*STREAMS[1:])
        stage.play(1_000, chunk_ms=chunk_ms)
        results.append((client.frames, client.calls))
    assert results[0] == results[1] == results[2]
    assert len(results[0][0]) > 20


@pytest.mark.slow
@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.sampled_from([1, 4, 50, 100]))
@settings(max_examples=20, deadline=None)
def test_drop_rules_cause_exactly_their_gaps(ids: list[int], chunk_ms: int) -> None:
    """A recorder is judged by the gaps it finds; the script must make these and no others."""
    stage = Stage("\n".join(f"at id {number} do drop" for number in ids))
    client = stage.connect()
    stage.play(1_500, chunk_ms=chunk_ms)
    whole = Stage("")
    same = whole.connect()
    whole.play(1_500, chunk_ms=chunk_ms)
    kept = [(event["U"], event["u"]) for event in depth(client)]
    lost = [(event["U"], event["u"]) for event in depth(same) if (event["U"], event["u"]) not in kept]
    assert len(lost) == len(ids)
    assert any(first <= min(ids) <= last for first, last in lost)
    assert depth(client) == [event for event in depth(same) if (event["U"], event["u"]) not in lost]


def test_rule_does_not_split_an_aggregate_trade() -> None:
    """Also for a rule in the middle of a taker's prints."""
    plain, ruled = Stage(""), Stage("\n".join(f"at trade {number} on 9 do drop" for number in range(1, 60)))
    frames = []
    for stage in (plain, ruled):
        client = stage.connect("simusdt@aggTrade")
        stage.play(1_000, chunk_ms=200)
        frames.append(client.frames)
    assert frames[0] == frames[1]


def test_refusal_rules_apply_to_numbered_connection_attempts() -> None:
    """Refused attempts count."""
    stage = Stage("at connect 2 do refuse_handshake status=429 retry_after=7 n=2\nat connect 5 do refuse_connect")
    answers = [stage.connect() for _ in range(6)]
    refused = [answer for answer in answers if hasattr(answer, "status")]
    assert [hasattr(answer, "status") for answer in answers] == [False, True, True, False, True, False]
    assert [(answer.status, dict(answer.headers), answer.reset) for answer in refused] == [
        (429, {"Retry-After": "7"}, False),
        (429, {"Retry-After": "7"}, False),
        (0, {}, True),
    ]


def test_rule_with_past_moment_applies_at_once() -> None:
    """A fault added to a running server must not wait for a past moment."""
    stage = staged("")
    stage.injector.add(as_rules(["at id 1 do storm n=1\nat time 0 do drop"]))
    stage.play(300)
    assert all(len(gaps(depth(client))) == 1 for client in stage.clients)
    assert stage.connect().calls == [(1006, ""), "closed"]
    assert stage.connect().calls == []
    assert stage.injector.waiting == []


def test_swap_exchanges_neighbouring_messages() -> None:
    """A recorder must report a reordering as a gap and an anomaly."""
    ids = [event["u"] for event in depth(staged("at id 200 on 1 do swap n=2").clients[0])]
    ordered = sorted(ids)
    at = next(place for place, number in enumerate(ids) if number != ordered[place])
    assert ids[at : at + 4] == [ordered[at + place] for place in (1, 0, 3, 2)]
    assert ids[at + 4 :] == ordered[at + 4 :]


def test_stale_message_repeats_an_earlier_one() -> None:
    """With its old ids and quantities, unchanged."""
    events = depth(staged("at id 300 on 1 do stale back=2").clients[0])
    (place,) = [at for at, (before, after) in enumerate(pairwise(events), 1) if after["u"] < before["u"]]
    assert events[place] == events[place - 3]


def test_overlapping_messages_give_the_true_book() -> None:
    """Quantities are absolute: a wider message is correct on a book of any id it covers."""
    stage = staged("at id 300 on 1 do overlap by=25 n=3")
    for before, event in pairwise(depth(stage.clients[0])):
        if event["U"] <= before["u"]:
            assert event["U"] == before["u"] + 1 - 25
        start, goal = stage.truth.book(event["U"] - 1), stage.truth.book(event["u"])
        for side, levels, expected in zip(start, (event["b"], event["a"]), goal, strict=True):
            book = {price: qty for price, qty in (dict(side) | dict(map(tuple, levels))).items() if float(qty)}
            assert book == dict(expected)
    assert sum(event["U"] <= before["u"] for before, event in pairwise(depth(stage.clients[0]))) == 3


def test_stall_causes_a_gap_in_one_kind_of_stream() -> None:
    """Depth stops while trades continue: the watchdog of one stream must not be reset by the other."""
    stage = staged("at time 0.4 on 1 do stall of=depth for_s=0.5")
    assert len(gaps(depth(stage.clients[0]))) == 1
    assert len(stage.clients[0].events("trade")) == len(stage.clients[1].events("trade"))
    stage = staged("at time 0.4 on 1 do stall of=trade for_s=0.5")
    assert not gaps(depth(stage.clients[0]))
    assert len(stage.clients[0].events("trade")) < len(stage.clients[1].events("trade"))


def test_messages_match_truth_after_id_reset() -> None:
    """Every message and snapshot after the reset is correct, by the new ids."""
    stage = Stage("at id 200 do id_reset first=5")
    client, other = stage.connect(), stage.connect("simusdt@depth", "simusdt@bookTicker", "simusdt@depth5@100ms")
    stage.play(1_500, chunk_ms=50)
    events = depth(client)
    (fall,) = [at for at, (before, after) in enumerate(pairwise(events), 1) if after["u"] < before["u"]]
    assert events[fall]["U"] == 5
    assert not gaps(events[:fall])
    assert not gaps(events[fall:])
    content = json.loads(stage.ask(limit="5000").body)
    assert content["lastUpdateId"] == stage.truth.last_update_id == stage.update_id - 200 + 5
    assert [list(map(tuple, content[side])) for side in ("bids", "asks")] == list(
        stage.truth.book(content["lastUpdateId"])
    )
    for event in events[fall:]:
        book = stage.truth.book(event["u"])
        for side, truth in (("b", book[0]), ("a", book[1])):
            assert {price: qty for price, qty in event[side] if float(qty)}.items() <= dict(truth).items()
    era = last_id = 0
    for event in other.events():
        if update_id := event.get("lastUpdateId", event.get("u", 0)):
            era, last_id = era or int(update_id < last_id), update_id
            bids = stage.truth.book(update_id, era)[0]
            if "lastUpdateId" in event:
                assert [tuple(level) for level in event["bids"]] == bids[:5]
            elif "B" in event:
                assert (event["b"], event["B"]) == bids[0]
    assert era == 1


@pytest.mark.parametrize(
    ("where", "of"), [(where, of) for where in ("old", "before", "inside", "newer") for of in ("first", "last")]
)
def test_snapshot_fault_returns_a_true_book_at_the_chosen_id(where: str, of: str) -> None:
    """The four positions of a snapshot relative to the buffered messages."""
    stage = Stage(f"at request 1 do snapshot where={where} of={of} back=3")
    stage.play(200)
    stage.connect()
    stage.play(1_000)
    events = depth(stage.clients[-1])
    event = events[0] if of == "first" else events[-1]
    content = json.loads(stage.ask(limit="7").body)
    expected = {
        "old": event["U"] - 4,
        "before": event["U"] - 1,
        "inside": (event["U"] + event["u"]) // 2,
        "newer": stage.truth.last_update_id,
    }
    assert content["lastUpdateId"] == expected[where]
    bids, asks = stage.truth.book(content["lastUpdateId"])
    assert [list(map(tuple, content[side])) for side in ("bids", "asks")] == [bids[:7], asks[:7]]
    assert json.loads(stage.ask().body)["lastUpdateId"] == stage.update_id


def test_requests_are_counted_per_path() -> None:
    """``at request 2 of /api/v3/depth`` is the second snapshot, independent of other requests."""
    stage = staged("at request 2 of /api/v3/depth do status code=429 retry_after=3 n=2\nat request 2 do slow delay_s=9")
    codes = [stage.ask(path).status for path in ("/api/v3/depth", "/api/v3/time", *["/api/v3/depth"] * 3)]
    assert codes == [200, 200, 429, 429, 200]
    stage = staged("at request 2 do slow delay_s=9")
    assert [bool(stage.ask(f"/api/v3/{path}").wait) for path in ("depth", "time", "time")] == [False, True, False]


def test_clock_offset_shifts_every_stamp_in_its_unit() -> None:
    """In ms or µs."""
    stage, plain = Stage("at time 0.5 do clock_offset ms=-1300"), Stage("")
    for one in (stage, plain):
        one.connect()
        one.connect().micro = True
        one.play(1_000)
    for shifted, true, factor in zip(stage.clients, plain.clients, (1, 1_000), strict=True):
        steps = [(b["E"] - a["E"]) / factor for a, b in zip(true.events(), shifted.events(), strict=True)]
        assert set(steps) == {0, -1300}
        assert steps == sorted(steps, reverse=True)
        assert {event["E"] - event["T"] for event in shifted.events("trade")} == {0}
    assert json.loads(stage.ask("/api/v3/time").body)["serverTime"] == stage.now_us // 1_000 - 1_300


LINES = st.builds(
    "at {} do {}".format,
    st.one_of(
        st.builds("id {}".format, st.integers(0, 700)),
        st.builds("trade {} on 2".format, st.integers(0, 150)),
        st.builds("time {}".format, st.floats(0, 1.2)),
        st.builds("connect {}".format, st.integers(1, 6)),
        st.builds("request {}".format, st.integers(1, 6)),
    ),
    st.sampled_from([*FAULTS, "lag for_s=0.1", "halt for_s=0.2", "stall for_s=0.2", "mute for_s=0.1"]),
)


@pytest.mark.slow
@given(st.lists(LINES, max_size=8), st.integers(0, 99), st.sampled_from([5, 20, 100]))
@settings(max_examples=20, deadline=None)
def test_any_script_gives_the_same_result_twice(lines: list[str], seed: int, chunk_ms: int) -> None:
    """A failure that a random script found must be repeatable."""

    def run_once() -> list[object]:
        stage = Stage("\n".join(lines), seed=seed)
        clients = [stage.connect(*STREAMS)]
        answers = []
        for _ in range(6):
            stage.play(200, chunk_ms=chunk_ms)
            answers.append(replace(stage.ask(), wait=None))  # a function that delays it is never another one's equal
            if len(stage.clients) < 2:
                clients.append(stage.connect(*STREAMS))
        for client in clients:
            if not hasattr(client, "status") and "shutdown" not in "".join(lines) and not client.silent:
                assert sum(stage.injector.scope.logs[client.id].counts.values()) >= len(client.frames)
        return [client if hasattr(client, "status") else (client.frames, client.calls) for client in clients] + answers

    assert run_once() == run_once()
