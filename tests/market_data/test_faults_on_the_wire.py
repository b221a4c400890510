"""The effect of the exchange in a box on a recorder, row by row, and the resulting day folder."""

import pytest

from boxed import quicken, recorded


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


def plain(seconds=4.0):
    """Return a scenario: sync, play the script, and sync again."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(seconds)
        await boxed.synced()
        await boxed.play(0.3)
        await boxed.caught_up()

    return scenario


def test_calm_market_is_recorded_without_anomalies():
    """The baseline of the tests below."""
    day = recorded(plain())
    assert (day.tags, day.logged("gap"), day.logged("trade_gap"), day.anomalies()) == (["initial"], [], [], [])
    assert len(day.frames) > 30
    assert day.missing_trades == set()


@pytest.mark.parametrize("lost", [1, 4])
def test_row_1_lost_updates_cost_one_gap_one_snapshot_and_no_trade(lost):
    """Trades are not affected."""
    day = recorded(plain(), f"at time 3 do drop n={lost}")
    assert len(day.logged("gap")) == 1
    assert day.tags == ["initial", "resync"]
    assert (day.logged("trade_gap"), day.missing_trades) == ([], set())


@pytest.mark.parametrize("fault", ["duplicate n=2", "stale n=2"])
def test_row_2_repeated_updates_cause_no_frame_and_no_resync(fault):
    """Defect 7: repeated updates are counted as anomalies."""
    day = recorded(plain(), f"at time 3 do {fault}")
    assert day.anomalies() == [fault.split()[0]] * 2
    assert (day.tags, day.logged("gap")) == (["initial"], [])
    assert len({row["last_update_id"] for row in day.frames}) == len(day.frames)


@pytest.mark.parametrize(("by", "resynced"), [(1, True), (30, False)])
def test_row_2_update_that_begins_inside_the_previous_one_costs_a_resync(by, resynced):
    """No exchange splits ids like that: one of the two has a wrong id. One that covers the previous one is applied."""
    day = recorded(plain(), f"at time 3 do overlap by={by}")
    assert day.anomalies() == ["overlap"]
    assert [lost["cause"] for lost in day.logged("resync_start")] == ["overlap"] * resynced
    assert (day.tags, day.logged("gap")) == (["initial", *["resync"] * resynced], [])


def test_row_3_swapped_updates_are_a_gap_and_diffs_keep_arrival_order():
    """Raw data keeps the order of arrival."""
    day = recorded(plain(), "at time 3 do swap", clean=False)
    order = [diff["u"] for diff in day.diffs]
    assert order != sorted(order)
    assert day.tags == ["initial", "resync"]


def test_row_4_snapshot_older_than_the_buffer_is_requested_again():
    """Defect 4: requests are spaced, and the buffer is kept, so nothing is lost."""
    day = recorded(plain(), "at request 1 of /api/v3/depth do snapshot where=old back=3 n=3")
    assert [details["cause"] for details in day.logged("snapshot_failed")] == ["too_old"] * 3
    assert [details["attempt"] for details in day.logged("snapshot_request")] == [1, 2, 3, 4]
    assert (day.logged("gap"), day.tags) == ([], ["initial"])
    first = min(diff["U"] for diff in day.diffs)
    loaded = day.logged("snapshot_loaded")[0]["last_update_id"]
    assert first <= loaded + 1


@pytest.mark.parametrize("where", ["before", "inside", "newer"])
def test_row_5_snapshot_bridges_before_inside_or_beyond_the_buffer(where):
    """The snapshot id is just before the first update, inside it, or newer than all updates."""
    day = recorded(plain(2), f"at request 1 of /api/v3/depth do snapshot where={where}")
    assert (day.tags, day.logged("gap"), day.logged("snapshot_failed")) == (["initial"], [], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("cut_body", "RemoteProtocolError"),
        ("broken_body", "unreadable"),
        ("empty_sides", ""),
        ("wrong_symbol", ""),
        ("slow delay_s=0.5", None),
        ("reset_request", "ReadError"),
        ("status code=503 n=2", "http 503"),
        ("status code=403 n=2", "http 403"),
    ],
)
def test_rows_6_and_7_broken_late_or_refused_snapshot_causes_no_gap(fault, cause):
    """Defect 3: updates wait in the buffer until a whole snapshot is loaded."""
    day = recorded(plain(), f"at request 1 of /api/v3/depth do {fault}")
    causes = [details["cause"] for details in day.logged("snapshot_failed")]
    assert (day.tags, day.logged("gap")) == (["initial"], [])
    if cause is None:
        assert causes == []
    elif cause:
        assert causes
        assert all(text.startswith(cause) for text in causes)


@pytest.mark.slow
@pytest.mark.parametrize("code", [429, 418])
def test_row_7_no_request_is_sent_before_retry_after(code):
    """Clients that continue to request are banned for longer."""
    requested_s = []

    async def scenario(boxed):
        rest, original = boxed.parts.rest.rest, boxed.parts.rest.rest.depth

        async def depth(*args):
            requested_s.append(boxed.weight._now_s())
            return await original(*args)

        rest.depth = depth
        await plain(2)(boxed)

    day = recorded(scenario, f"at request 1 of /api/v3/depth do status code={code} retry_after=1")
    assert [details["http_status"] for details in day.logged("snapshot_failed")] == [code]
    assert requested_s[1] - requested_s[0] >= 0.99
    assert day.tags == ["initial"]


@pytest.mark.slow
@pytest.mark.parametrize("of", ["depth", "any"])
def test_row_8_open_but_silent_stream_is_a_stall(of):
    """Defect 5: detected by a timer; another connection opens in parallel, and exchangeInfo is requested."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("stall"))
        await boxed.until(lambda: boxed.logged("ws_disconnected"))
        await plain(1)(boxed)

    day = recorded(scenario, f"at time 3 on newest do stall of={of}", silence_s=0.3)
    stalled = {details["stream"] for details in day.logged("stall")}
    assert stalled == {"depth"} or (of == "any" and stalled <= {"depth", "trade"})
    assert [details["reason"] for details in day.logged("ws_disconnected")][:1] == ["stall"]
    kinds = [event["type"] for event in day.events]
    assert kinds.index("ws_disconnected") > [at for at, kind in enumerate(kinds) if kind == "ws_connected"][1]
    assert len(day.logged("exchange_info")) > 1
    assert day.missing_trades == set()


def test_row_8_status_of_a_halted_symbol_is_recorded():
    """Silence alone does not show a halt, so exchangeInfo is requested."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(2)
        await boxed.until(lambda: boxed.logged("exchange_info") > 1, playing=False)
        await boxed.play(1)
        await plain(6)(boxed)

    day = recorded(scenario, "at time 3 do halt status=BREAK for_s=5", silence_s=0.3)
    assert "BREAK" in [details["status"] for details in day.logged("exchange_info")]
    assert (day.logged("gap"), day.missing_trades) == ([], set())


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["half_open", "mute"])
def test_row_9_connection_with_a_dead_peer_is_replaced(fault):
    """Lost updates are reported, missing trades are fetched."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("ws_disconnected"))
        await plain(1)(boxed)

    day = recorded(scenario, f"at time 3 on newest do {fault}", silence_s=0.3)
    assert day.logged("ws_disconnected")[0]["conn"] == 1
    assert len(day.logged("ws_connected")) == 2
    assert day.missing_trades == set()


@pytest.mark.parametrize("fault", ["close code=1000", "close code=1001", "close code=1006", "close code=1011", "reset"])
def test_row_10_next_connection_continues_after_any_close(fault):
    """Trades between the two connections are fetched."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("ws_disconnected"))
        await plain(1.5)(boxed)

    day = recorded(scenario, f"at time 3 do {fault}")
    assert len(day.logged("ws_connected")) == 2
    assert {gap["cause"] for gap in day.logged("gap")} <= {"disconnected"}
    assert day.missing_trades == set()


def test_row_10_refused_handshake_is_retried():
    """Refused with a status, or reset before any answer."""
    script = "at connect 1 do refuse_handshake status=503 n=2\nat connect 3 do refuse_connect"
    day = recorded(plain(1), script)
    assert [details["conn"] for details in day.logged("ws_connected")] == [1]


@pytest.mark.parametrize("fault", ["shutdown lead_s=3", "phase ms=30\nat time 3 do shutdown lead_s=3"])
def test_row_11_announced_shutdown_costs_no_update_and_no_trade(fault):
    """The next connection opens before the old one closes, and the epoch continues."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("ws_disconnected"))
        await plain(3)(boxed)

    day = recorded(scenario, f"at time 3 do {fault}")
    kinds = [event["type"] for event in day.events if event["type"].startswith("ws_")]
    assert kinds[:3] == ["ws_connected", "ws_connected", "ws_disconnected"]
    assert day.logged("ws_disconnected")[0]["reason"] == "server_shutdown"
    assert (day.logged("gap"), day.logged("trade_gap"), day.tags) == ([], [], ["initial"])
    assert day.anomalies() == []


def test_row_11_maximum_connection_age_costs_no_update_and_no_trade():
    """Several times in a row."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.until(lambda: boxed.logged("ws_disconnected") >= 3)
        await plain(1)(boxed)

    day = recorded(scenario, max_age_s=0.4)
    assert {details["reason"] for details in day.logged("ws_disconnected")} <= {"max_age", "enough"}
    assert (day.logged("gap"), day.logged("trade_gap"), day.tags, day.anomalies()) == ([], [], ["initial"], [])


def test_row_12_connection_storm_ends_and_is_bounded():
    """Each attempt is counted in the budget."""

    async def scenario(boxed):
        await boxed.until(lambda: boxed.logged("ws_disconnected") >= 5)
        await plain(1)(boxed)
        assert boxed.attempts.spent == boxed.logged("ws_connected")

    day = recorded(scenario, "at connect 1 do storm n=5 code=1006")
    assert len(day.logged("ws_connected")) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "damages"),
    [
        ("bad_json", True),
        ("bad_utf8", None),
        ("missing_field", True),
        ("foreign_symbol", True),
        ("unknown_event", False),
        ("huge", False),
        ("binary", None),
        ("extra_field", None),
        ("non_ascii", None),
    ],
)
def test_row_14_unreadable_messages_are_quarantined(fault, damages):
    """Defect 12: a damaged update is a gap; a readable one is not, whatever else it contains."""
    day = recorded(plain(), f"at time 3 do {fault}")
    kept = [details for details in day.logged("anomaly") if details["kind"] == "quarantined"]
    assert len(kept) == (damages is not None)
    assert len(day.logged("gap")) == bool(damages)
    assert day.missing_trades == set()


@pytest.mark.parametrize(("fault", "kind"), [("crossed", "crossed"), ("crossed ticks=0", "crossed")])
def test_row_15_crossed_or_locked_book_causes_a_resync(fault, kind):
    """The impossible book gets no frame; another snapshot replaces it."""
    day = recorded(plain(), f"at time 3 do {fault}")
    assert kind in day.anomalies()
    assert day.tags == ["initial", "resync"]


def test_row_15_price_off_the_tick_is_kept_and_exchange_info_requested():
    """The price may be on a new grid: the book is kept, and the day is sound for any exchangeInfo."""

    async def scenario(boxed):
        await plain()(boxed)
        await boxed.until(lambda: boxed.logged("exchange_info") > 1)

    day = recorded(scenario, "at time 3 do off_tick", clean=False)
    assert day.anomalies() == ["grid"]
    assert (day.tags, day.logged("resync_start")) == (["initial"], [])
    assert len(day.logged("exchange_info")) > 1


def test_row_15_largest_quantity_keeps_its_text():
    """Defect 8: no float can hold this quantity."""
    day = recorded(plain(), "at time 3 do capped_qty", clean=False)
    text = "92233720368.54775807"
    assert any(text in (qty for side in "ba" for _, qty in diff[side]) for diff in day.diffs)
    assert any(text in row.values() for row in day.frames)


def test_row_22_id_reset_opens_an_epoch():
    """New ids are not taken as stale."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(4)
        await boxed.synced()
        await boxed.play(0.5)

    day = recorded(scenario, "at time 3.05 do id_reset first=1", clean=False)
    assert "id_reset" in day.anomalies()
    assert max(int(row["epoch_id"]) for row in day.frames) == 2
    last = int(day.frames[-1]["last_update_id"])
    assert last < max(diff["u"] for diff in day.diffs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "",
        "at connect 2 do phase ms=40",
        "at time 3 on newest do lag delay_s=0.4",
        "at time 3 on newest do drop n=3",
        "at time 3 on newest do drop n=2 of=trade",
        "at time 3 on newest do close code=1006",
        "at time 3 on 1 do reset",
        "at time 3 on newest do shutdown lead_s=1",
        "at time 3 on newest do swap\nat time 4 on newest do duplicate n=3",
    ],
)
def test_row_23_connection_pair_is_one_perfect_feed(script):
    """A fault of one connection causes no gap, no repeated row and no anomaly."""
    day = recorded(plain(), script, pair=True)
    assert len(day.logged("ws_connected")) >= 2
    assert (day.logged("gap"), day.logged("trade_gap"), day.anomalies()) == ([], [], [])
    assert (day.tags, day.missing_trades) == (["initial"], set())
    assert len(day.frames) > 30


def test_events_are_not_stamped_later_than_queued_messages():
    """With a backlog of seconds, rows would otherwise step back in time, which the check reports."""

    async def scenario(boxed):
        await boxed.synced()
        inbox, opened = boxed.parts.stream._inbox, boxed.recording._open
        recv_us = boxed.box.scheduler.done_us - 5_000_000
        inbox.waiting.appendleft((recv_us, inbox.links[0], b"{}"))  # others may be waiting already
        opened._stalled("depth", 1.0)
        logged_us, _ = boxed.session.writer.ledger.last["stall"]
        assert logged_us == recv_us
        inbox.waiting.popleft()

    recorded(scenario, defects={"clock"}, clean=False)


@pytest.mark.parametrize("seconds", [2.4, 2.5])
def test_late_update_of_the_rest_of_a_pair_is_stored(seconds):
    """The ledger has declared its ids missing: it was swapped, on the connection that replaces the closed one.

    `recorded` compares what was received with what is stored.
    """
    script = f"at time {seconds} on newest do close code=1000\nat time 2.45 on all do swap\nat time 2.67 on all do swap"
    day = recorded(plain(), script, pair=True, clean=False)
    assert day.missing_trades == set()
