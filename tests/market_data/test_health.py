"""The health of a recording: file, metrics page, and terminal text."""

import asyncio
import re
import socket
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest
from test_live_session import Desk

from captured import NOON_US, SYMBOL, diff, snapshot, trade
from mm.base.atomic_file import process_exists
from mm.dayfolder.manifest import day_files
from mm.errors import BrokenFile, UsageError
from mm.market_data.health import (
    ENDED,
    Health,
    HealthReport,
    health_text,
    is_running,
    read_health,
    trouble_of,
    write_health,
)
from mm.market_data.message_latency import RoundTrip
from mm.market_data.metrics import CONTENT_TYPE, metrics_served
from mm.market_data.monitor import page
from mm.markets import local_orderbook

SAMPLE = re.compile(r'(?P<name>[a-z_:]+)\{(?P<labels>(?:\w+="(?:[^"\\]|\\.)*",?)*)\} (?P<value>-?[\d.e+-]+)')


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def health(weight=None):
    return Health(SYMBOL, "R0", SimpleNamespace(used_weight=weight))


def at_work(desk, trouble=""):
    return SimpleNamespace(session=desk.session, trouble=trouble)


def parsed(text):
    """Return the samples of a page by name and labels; assert that it is valid text format 0.0.4."""
    samples, kinds, described = {}, {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            described.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in described
            assert name not in kinds
            assert kind in ("gauge", "counter", "summary")
            assert (kind == "counter") == name.endswith("_total")
            kinds[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            family = re.sub(r"_(sum|count)$", "", found["name"])
            assert found["name"] in kinds or kinds[family] == "summary"
            labels = tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found["labels"]))
            assert ("symbol", SYMBOL) in labels
            assert (found["name"], labels) not in samples
            samples[found["name"], labels] = float(found["value"])
    return samples


def value(samples, name, **labels):
    return samples[f"mm_recorder_{name}", (("symbol", SYMBOL), *labels.items())]


def test_report_before_the_window_contains_the_process_only():
    """The page exists from the start, with the state "waiting"."""
    report = health().report(SimpleNamespace(session=None, trouble="no route"), NOON_US)
    assert (report.state, report.run_id, report.path, report.last_error) == ("waiting", "R0", None, "no route")
    write_health(report)
    assert value(parsed(page(report)), "state", state="waiting") == 1


def test_report_contains_state_and_counts_of_a_recording(desk):
    """Connections, book, rates, gaps and the clock are read from the session."""
    watched, work = health(weight=255), at_work(desk)
    assert watched.report(work, desk.us).state == "connecting"
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(7), diff(20, 21))
    desk.session.connected(desk.tick(), "ws://x", 1)
    watched.trip = RoundTrip(took_us=600, answered_us=1_000_300, server_us=1_000_000)
    report = watched.report(work, desk.us + 2_000_000)
    assert (report.connections, report.run_id, report.used_weight) == (1, "R1", 255)
    assert (report.offset_us, report.offset_error_us) == (0, 300)
    assert (report.events["gap"], report.events["resync_start"], report.state) == (1, 1, "syncing")
    assert report.last_error.split(" ")[1:2] == ["gap"]
    assert report.lag_s == 2.1
    depth = report.streams["depth"]
    assert (depth.messages, report.streams["trade"].messages) == (3, 1)
    assert depth.rate_per_s == pytest.approx(3 / ((desk.us + 2_000_000 - NOON_US) / 1e6), rel=0.2)
    desk.take(snapshot(21))
    assert watched.report(work, desk.us).levels > (0, 0)
    desk.session.disconnected(desk.tick(), 1, 1006, "cut")
    assert watched.report(work, desk.us).state == "connecting"


@pytest.mark.parametrize(("kernel", "text"), [(object(), "asks; compiled"), (None, "asks; plain Python")])
def test_status_shows_whether_the_book_is_compiled(kernel, text, monkeypatch):
    """A recorder without a compiler is slower."""
    monkeypatch.setattr(local_orderbook, "kernel", kernel)
    report = health().report(SimpleNamespace(session=None, trouble=""), NOON_US)
    assert report.compiled is (kernel is not None)
    assert text in health_text(report, NOON_US, None)


def test_book_age_grows_while_out_of_sync(desk):
    """New messages do not reset the age of a book with missing ids."""
    watched, work = health(), at_work(desk)
    assert watched.report(work, desk.us).book_age_s is None
    desk.take(diff(11, 11))
    assert watched.report(work, desk.us).book_age_s is None
    desk.take(snapshot(11), diff(12, 12))
    right_us = desk.us
    assert watched.report(work, right_us + 250_000).book_age_s == 0.25
    desk.take(diff(20, 20))
    assert desk.session.market.book_id is None
    assert watched.report(work, desk.us).book_age_s == (desk.us - right_us) / 1e6 > 0


def test_frequent_reports_do_not_change_the_rates(desk):
    """The rate always covers a second or more, however often the page is read."""
    watched, work = health(), at_work(desk)
    desk.take(diff(11, 11), snapshot(11))
    watched.report(work, desk.us)
    desk.take(*(diff(n, n) for n in range(12, 32)))
    rate = watched.report(work, desk.us).streams["depth"].rate_per_s
    assert rate == pytest.approx(10, rel=0.1)
    assert watched.report(work, desk.us + 100).streams["depth"].rate_per_s == rate


def test_metrics_page_contains_the_values_of_the_report(desk):
    """Values are in seconds and bytes, labels are escaped, and each stream has a summary."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), diff(20, 20))
    watched = health()
    watched.write(watched.report(at_work(desk), desk.us))  # measures the disk
    report = msgspec.structs.replace(watched.report(at_work(desk), desk.us), run_id='a"b\\c')
    assert report.free_mb > 0
    samples = parsed(page(report))
    assert value(samples, "events_total", type="gap") == 1
    assert value(samples, "events_total", type="stall") == 0
    assert value(samples, "messages_total", stream="depth") == 3
    assert value(samples, "latency_seconds_count", stream="depth") == 3
    assert samples["mm_messages_total", (("symbol", SYMBOL), ("stream", "depth"))] == 3
    assert samples["mm_gaps_total", (("symbol", SYMBOL),)] == 1
    stream = report.streams["depth"]
    assert value(samples, "latency_seconds", stream="depth", quantile="0.99") == stream.p99_us / 1e6
    assert value(samples, "disk_free_bytes") == report.free_mb * 1e6
    assert value(samples, "info", run_id='a\\"b\\\\c') == 1
    assert sum(number for (name, _), number in samples.items() if name == "mm_recorder_state") == 1


def test_health_file_reads_back_and_is_no_part_of_the_day(desk, tmp_path):
    """The file changes while the day is sealed, so no manifest may contain it."""
    report = health().report(at_work(desk), desk.us)
    write_health(report)
    folder = desk.session.writer.folder
    assert folder.health.name == f"health_{SYMBOL}.json"
    assert folder.health not in day_files(folder)
    assert [path.name for path in folder.path.glob("health*")] == [folder.health.name]
    assert read_health(tmp_path / "data", SYMBOL) == report
    assert read_health(tmp_path / "data", "OTHER") is None
    folder.health.write_text("{")
    with pytest.raises(BrokenFile, match="health_"):
        read_health(tmp_path / "data", SYMBOL)


@pytest.mark.parametrize(
    ("state", "alive", "age_s", "trouble"),
    [
        ("synced", True, 1, None),
        ("synced", False, 1, "without a final report"),
        ("synced", True, 60, "not reported for 60 s"),
        ("synced", None, 60, "not reported"),
        (ENDED, False, 86_400, None),
    ],
)
def test_trouble_is_reported_in_the_health_text(desk, state, alive, age_s, trouble):
    """A killed or hanging process does not count as a running recording."""
    report = msgspec.structs.replace(health().report(at_work(desk), desk.us), state=state)
    now_us = desk.us + age_s * 1_000_000
    found = trouble_of(report, now_us, alive=alive)
    assert found is None if trouble is None else trouble in found
    lines = health_text(report, now_us, found).splitlines()
    assert state in lines[0]
    assert found is None or lines[-1].strip() == found


def test_process_is_checked_on_its_own_machine_only():
    """The same pid on another machine is another process."""
    report = HealthReport(SYMBOL, "R", 7, "there", "synced", 0, 2.0)
    assert is_running(report, "there", lambda pid: pid == 7) is True
    assert is_running(report, "here", process_exists) is None
    assert process_exists(2**22 + 1) is False


def fetched(port, path="/metrics", method="GET"):
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


async def served(paths):
    async with metrics_served("127.0.0.1", 0, lambda: "x 1\n") as port:
        return [await asyncio.to_thread(fetched, port, *path) for path in paths]


def test_metrics_page_is_served_on_loopback():
    """GET and HEAD return the page; other paths and methods return an error status."""
    requests = [(), ("/metrics?x=1",), ("/metrics", "HEAD"), ("/nothing",), ("/metrics", "POST")]
    answers = asyncio.run(served(requests))
    assert answers[:3] == [(200, CONTENT_TYPE, "x 1\n")] * 2 + [(200, CONTENT_TYPE, "")]
    assert [status for status, _, _ in answers[3:]] == [404, 405]


def test_clients_without_http_are_disconnected():
    """A port scan or half a request neither stays in memory nor ends the recording."""

    async def run():
        async with metrics_served("127.0.0.1", 0, lambda: "x 1\n") as port:
            for payload in (b"", b"GET /metrics", b"\0" * 40_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(payload)
                writer.write_eof()
                await reader.read()
                writer.close()
            return await asyncio.to_thread(fetched, port)

    assert asyncio.run(run())[0] == 200


def test_occupied_port_raises_usage_error():
    """The recorder does not start without the requested page."""

    async def run(port):
        async with metrics_served("127.0.0.1", port, str):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="metrics_port"):
            asyncio.run(run(taken.getsockname()[1]))


def test_trouble_of_a_recording_without_a_valid_book(desk):
    """Trouble is reported after a minute without sync, repeated snapshot failures, or a growing quarantine."""
    watch, at_us = health(), desk.us
    recording = at_work(desk)
    assert trouble_of(watch.report(recording, at_us), at_us, alive=True) is None
    late = watch.report(recording, at_us + 61_000_000)
    assert late.unsynced_s == 61
    assert "for 61 s: there is no valid book" in trouble_of(late, late.at_us, alive=True)
    for attempt in range(5):
        desk.session.event(at_us, "snapshot_failed", {"cause": "timeout", "http_status": attempt})
    refused = watch.report(recording, at_us + 1_000_000)
    assert "5 snapshots failed" in trouble_of(
        msgspec.structs.replace(refused, unsynced_s=0.0), refused.at_us, alive=True
    )
    for _ in range(10):
        desk.session.message(at_us, b"{")
    grown = watch.report(recording, at_us + 2_000_000)
    calm = msgspec.structs.replace(grown, unsynced_s=0.0, refusals=0)
    assert "10 messages were quarantined" in trouble_of(calm, calm.at_us, alive=True)
    later = watch.report(recording, at_us + 200_000_000)
    later = watch.report(recording, at_us + 300_000_000)
    assert later.quarantined_lately == 0


def test_depth_stream_that_is_silent_while_trades_arrive_is_trouble(desk):
    """The book of such a recording stays in sync and is wrong; a market without trades may be silent."""
    watch, recording = health(), at_work(desk)
    desk.session.connected(desk.tick(), "ws://x", 1)
    desk.take(diff(11, 11), snapshot(11), diff(12, 12), trade(1))
    quiet = watch.report(recording, desk.us)
    assert trouble_of(quiet, desk.us, alive=True) is None
    desk.take(diff(13, 13))
    calm = watch.report(recording, desk.us + 3_600_000_000)
    assert (calm.depth_late_s, trouble_of(calm, calm.at_us, alive=True)) == (0.0, None)
    desk.take(trade(2))
    first_us = desk.us
    watch.report(recording, first_us)
    for number in range(3, 603):
        desk.take(trade(number))
        report = watch.report(recording, desk.us)
    assert report.depth_late_s == (desk.us - first_us) / 1e6 == 60.0
    assert trouble_of(report, desk.us, alive=True) is None
    desk.take(trade(603))
    late = watch.report(recording, desk.us)
    assert "no depth message for 60 s" in trouble_of(late, desk.us, alive=True)
    desk.take(diff(14, 14))
    assert trouble_of(watch.report(recording, desk.us), desk.us, alive=True) is None
