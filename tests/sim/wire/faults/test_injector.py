"""What a script does to connections, without a socket: whom, when, how often, and the same again from the same seed."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import STREAMS, Stage

from mm.sim.wire.faults.script import Moment, Rule
from mm.sim.wire.faults.table import FAULTS
from mm.sim.wire.http_messages import Response


def depth(client) -> list[dict]:
    return client.events("depthUpdate")


def holes(events: list[dict]) -> list[tuple[int, int]]:
    """Return the ids that are missing between depth events: first and last of each hole."""
    return [(before["u"] + 1, after["U"] - 1) for before, after in pairwise(events) if after["U"] > before["u"] + 1]


def staged(script: str, ms: int = 1_500, clients: int = 2, **options) -> Stage:
    stage = Stage(script, **options)
    for _ in range(clients):
        stage.connect()
    stage.play(ms)
    return stage


def test_without_a_script_nothing_changes() -> None:
    """The hooks alone must not be a fault."""
    stage = staged("")
    for client in stage.clients:
        assert not holes(depth(client))
        assert [event["t"] for event in client.events("trade")] == [*range(1, stage.truth.last_trade_id + 1)]


@pytest.mark.parametrize(("chunk_ms", "at"), [(1, 300), (20, 300), (500, 300), (20, 301)])
def test_a_rule_acts_at_its_id_however_the_log_was_cut(chunk_ms: int, at: int) -> None:
    """The same script gives the same gap whether the server is busy or idle."""
    stage = Stage(f"at id {at} on 1 do drop")
    client, other = stage.connect(), stage.connect()
    stage.play(2_000, chunk_ms=chunk_ms)
    ((first, last),) = holes(depth(client))
    assert first <= at <= last
    assert not holes(depth(other))
    assert stage.injector.scope.logs[1].lost == {"drop": 1}


@pytest.mark.parametrize("moment", ["id 300", "trade 40", "time 0.3333"])
def test_what_comes_before_the_moment_is_sent_before_it(moment: str) -> None:
    """A connection that is closed at an id has had all that happened before it, in one long step too."""
    told = []
    for chunk_ms in (1, 20, 500):
        stage = Stage(f"at {moment} do close")
        client = stage.connect(*STREAMS[1:])
        stage.play(1_000, chunk_ms=chunk_ms)
        told.append((client.frames, client.told))
    assert told[0] == told[1] == told[2]
    assert len(told[0][0]) > 20


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.sampled_from([1, 4, 50, 100]))
@settings(max_examples=20, deadline=None)
def test_gaps_are_those_of_the_script(ids: list[int], chunk_ms: int) -> None:
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


def test_an_aggregate_trade_is_never_cut_in_two_by_a_rule() -> None:
    """A rule may act in the middle of a taker's prints; they are one aggregate all the same."""
    plain, ruled = Stage(""), Stage("\n".join(f"at trade {number} on 9 do drop" for number in range(1, 60)))
    told = []
    for stage in (plain, ruled):
        client = stage.connect("simusdt@aggTrade")
        stage.play(1_000, chunk_ms=200)
        told.append(client.frames)
    assert told[0] == told[1]


def test_attempts_to_connect_are_counted_and_refused() -> None:
    """A reconnecting client meets the third attempt as it meets the first."""
    stage = Stage("at connect 2 do refuse_handshake status=429 retry_after=7 n=2\nat connect 5 do refuse_connect")
    answers = [stage.connect() for _ in range(6)]
    refused = [answer for answer in answers if isinstance(answer, Response)]
    assert [isinstance(answer, Response) for answer in answers] == [False, True, True, False, True, False]
    assert [(answer.status, dict(answer.headers), answer.reset) for answer in refused] == [
        (429, {"Retry-After": "7"}, False),
        (429, {"Retry-After": "7"}, False),
        (0, {}, True),
    ]


def test_a_moment_that_has_passed_is_now() -> None:
    """Faults that are added to a running server must not wait for a past that never comes back."""
    stage = staged("")
    stage.injector.add(
        [Rule(Moment("id", 1), FAULTS["storm"].make(n=1)), Rule(Moment("time", 0), FAULTS["drop"].make())]
    )
    stage.play(300)
    assert all(len(holes(depth(client))) == 1 for client in stage.clients)
    assert stage.connect().told == [(1006, ""), "closed"]
    assert stage.connect().told == []
    assert stage.injector.waiting == []


def test_swapped_neighbours_change_places() -> None:
    """Reordering is what a recorder must see as a gap and an anomaly."""
    ids = [event["u"] for event in depth(staged("at id 200 on 1 do swap n=2").clients[0])]
    ordered = sorted(ids)
    at = next(place for place, number in enumerate(ids) if number != ordered[place])
    assert ids[at : at + 4] == [ordered[at + place] for place in (1, 0, 3, 2)]
    assert ids[at + 4 :] == ordered[at + 4 :]


def test_a_stale_message_is_one_that_was_sent() -> None:
    """A resend carries old ids and old quantities, word for word."""
    events = depth(staged("at id 300 on 1 do stale back=2").clients[0])
    (place,) = [at for at, (before, after) in enumerate(pairwise(events), 1) if after["u"] < before["u"]]
    assert events[place] == events[place - 3]


def test_an_overlap_tells_no_lie() -> None:
    """Quantities are absolute: a wider message is as true as a narrow one, on a book of any id it covers."""
    stage = staged("at id 300 on 1 do overlap by=25 n=3")
    for before, event in pairwise(depth(stage.clients[0])):
        if event["U"] <= before["u"]:
            assert event["U"] == before["u"] + 1 - 25
        start, goal = stage.truth.book(event["U"] - 1), stage.truth.book(event["u"])
        for side, told, wanted in zip(start, (event["b"], event["a"]), goal, strict=True):
            book = {price: qty for price, qty in (dict(side) | dict(map(tuple, told))).items() if float(qty)}
            assert book == dict(wanted)
    assert sum(event["U"] <= before["u"] for before, event in pairwise(depth(stage.clients[0]))) == 3


def test_a_stall_ends_in_a_hole_of_one_kind() -> None:
    """Depth falls silent while trades flow: the watchdog of one stream must not be fed by the other."""
    stage = staged("at time 0.4 on 1 do stall of=depth for_s=0.5")
    assert len(holes(depth(stage.clients[0]))) == 1
    assert len(stage.clients[0].events("trade")) == len(stage.clients[1].events("trade"))
    stage = staged("at time 0.4 on 1 do stall of=trade for_s=0.5")
    assert not holes(depth(stage.clients[0]))
    assert len(stage.clients[0].events("trade")) < len(stage.clients[1].events("trade"))


def test_after_a_reset_of_ids_wire_and_truth_agree() -> None:
    """Every message and snapshot of the new count is still true, by the new names."""
    stage = Stage("at id 200 do id_reset first=5")
    client, other = stage.connect(), stage.connect("simusdt@depth", "simusdt@bookTicker", "simusdt@depth5@100ms")
    stage.play(1_500, chunk_ms=50)
    events = depth(client)
    (fall,) = [at for at, (before, after) in enumerate(pairwise(events), 1) if after["u"] < before["u"]]
    assert events[fall]["U"] == 5
    assert not holes(events[:fall])
    assert not holes(events[fall:])
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
def test_snapshots_lie_where_they_should_and_are_true(where: str, of: str) -> None:
    """The four places of a snapshot by the messages that wait for it."""
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


def test_requests_are_counted_by_their_path() -> None:
    """``at request 2 of /api/v3/depth`` is the second snapshot, whatever other requests come between."""
    stage = staged("at request 2 of /api/v3/depth do status code=429 retry_after=3 n=2\nat request 2 do slow delay_s=9")
    codes = [stage.ask(path).status for path in ("/api/v3/depth", "/api/v3/time", *["/api/v3/depth"] * 3)]
    assert codes == [200, 200, 429, 429, 200]
    stage = staged("at request 2 do slow delay_s=9")
    assert [stage.ask(path).delay_s for path in ("/api/v3/depth", "/api/v3/time", "/api/v3/time")] == [0, 9, 0]


def test_clocks_are_shifted_in_the_unit_of_each_stamp() -> None:
    """An exchange whose clock is 1.3 s off shows it in every stamp, ms or µs."""
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


@given(st.lists(LINES, max_size=8), st.integers(0, 99), st.sampled_from([5, 20, 100]))
@settings(max_examples=20, deadline=None)
def test_any_script_plays_and_plays_again_the_same(lines: list[str], seed: int, chunk_ms: int) -> None:
    """A failure that a random script found is only worth something if it can be had again."""

    def told() -> list[object]:
        stage = Stage("\n".join(lines), seed=seed)
        clients = [stage.connect(*STREAMS)]
        answers = []
        for _ in range(6):
            stage.play(200, chunk_ms=chunk_ms)
            answers.append(stage.ask())
            if len(stage.clients) < 2:
                clients.append(stage.connect(*STREAMS))
        for client in clients:
            if not isinstance(client, Response) and "shutdown" not in "".join(lines) and not client.silent:
                assert sum(stage.injector.scope.logs[client.id].counts.values()) >= len(client.frames)
        return [
            client if isinstance(client, Response) else (client.frames, client.told) for client in clients
        ] + answers

    assert told() == told()
