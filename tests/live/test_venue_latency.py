"""``mm latency`` against an exchange in a box, and against servers that refuse, hang or are no exchange."""

import json
import shutil
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from tls_front import create_authority, issue_certificate, tls_front

from mm.__main__ import main
from mm.clock import now_us
from mm.live.venues.measured_latency import Quantiles, VenueLatency
from mm.market_data.message_latency import RoundTrip
from serving import serving
from support import run_python


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Budgets of requests are shared by address: keep those of the tests apart."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def measure(rest: str, streams: str, *words: str, symbol: str = "SIMUSDT"):
    """Return the result of the command."""
    given = ["--venue", "box", "--symbol", symbol, "--rest-url", rest, "--ws-url", streams, *words]
    return CliRunner().invoke(main, ["latency", *given])


@contextmanager
def answering(head: bytes, body: bytes = b"{}"):
    """Yield the port of a server that answers every request alike; with an empty *head* it never does."""
    stopped = threading.Event()

    def serve() -> None:
        with ExitStack() as kept:
            while not stopped.is_set():
                try:
                    found, _ = listener.accept()
                except OSError:
                    return
                kept.enter_context(found)
                with suppress(OSError):  # the client may reset it
                    while head and found.recv(1 << 16):
                        found.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends the wait for the next client
        listener.close()
        server.join(10)


def test_quantiles_are_values_of_the_sample() -> None:
    assert Quantiles.of([]) is None
    assert Quantiles.of([7]) == Quantiles(1, 7, 7, 7)
    assert Quantiles.of(list(range(101))[::-1]) == Quantiles(101, 50, 90, 99)


def test_delays_are_corrected_by_the_offset_of_the_shortest_request() -> None:
    """Our clock is 5 s ahead; the long request knows it less exactly."""
    ahead, found = 5_000_000, VenueLatency()
    found.trips = [RoundTrip(2_000, 1_000 + ahead + 1_000, 1_000), RoundTrip(90_000, 2_000 + ahead + 80_000, 2_000)]
    found.delays["depth"] = [ahead + us for us in (3_000, 4_000, 5_000)]
    tables = found.tables()
    assert tables["depth"] == Quantiles(3, 4_000, 5_000, 5_000)
    assert tables["trade"] is None
    assert (found.best.offset_us, found.one_way_us(), found.feed_us()) == (ahead, 1_000, 4_000)
    assert found.drift_us() == 35_000


@pytest.fixture(scope="module")
def ready():
    with serving("--scenario", "zero_intelligence", "--seed", "7") as (_, found):
        yield found


def test_box_is_measured_and_settings_are_printed(ready, alone) -> None:
    done = measure(ready["rest_url"], ready["ws_url"], "--samples", "6", "--seconds", "20", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["orders_sent"], found["tls_ms"], found["connect_ms"]["n"]) == (0, None, 6)
    assert found["first_byte_ms"]["n"] == 6
    assert found["depth_ms"]["n"] >= 6
    assert found["trade_ms"]["n"] >= 6
    assert found["ws_open_ms"] > 0
    for name in ("connect_ms", "first_byte_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p90"] <= found[name]["p99"]
    one_way, feed = found["first_byte_ms"]["p50"] / 2, max(0, found["depth_ms"]["p50"])
    assert float(found["settings"]["recorded"]["ORDER_LATENCY_MS"]) == pytest.approx(one_way, abs=0.02)
    assert float(found["settings"]["none"]["ORDER_LATENCY_MS"]) == pytest.approx(one_way + feed, abs=0.02)
    shown = measure(ready["rest_url"], ready["ws_url"], "--samples", "2", "--seconds", "20")
    assert "no order was sent" in shown.stdout
    assert "export FEED_LATENCY=none ORDER_LATENCY_MS=" in shown.stdout


def test_streams_without_messages_are_said_to_have_none(alone) -> None:
    with serving("--scenario", "empty") as (_, found):
        done = measure(found["rest_url"], found["ws_url"], "--samples", "2", "--seconds", "0.3")
    assert done.exit_code == 0, done.stderr
    assert "no depth message arrived" in done.stdout


def test_unknown_symbol_is_a_wrong_knob(ready, alone) -> None:
    done = measure(ready["rest_url"], ready["ws_url"], symbol="NOPE")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "SYMBOL" in done.stderr


def test_box_needs_addresses_of_this_machine() -> None:
    done = CliRunner().invoke(main, ["latency", "--venue", "box", "--symbol", "SIMUSDT"])
    assert done.exit_code == 2
    assert "WS_URL, REST_URL" in done.stderr
    assert "WS_API_URL" not in done.stderr
    assert measure("http://203.0.113.1", "ws://203.0.113.1").exit_code == 5


@pytest.mark.parametrize(
    ("head", "body", "code", "named"),
    [
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 7", b"{}", 75, "7 s"),
        (b"HTTP/1.1 418 Teapot\r\nRetry-After: 120", b"{}", 75, "120 s"),
        (b"HTTP/1.1 503 Down", b"{}", 75, "503"),
        (b"HTTP/1.1 403 Forbidden", b"<html>no</html>", 3, "403"),
        (b"HTTP/1.1 404 Not Found", b"nothing here", 3, "REST_URL"),
        (b"HTTP/1.1 200 OK", b"<html>a portal</html>", 3, "portal"),
        (b"no http", b"", 75, "REST_URL"),
        (b"", b"", 75, "0.3 s"),
    ],
)
def test_venue_that_refuses_hangs_or_is_none_is_one_line(head, body, code, named, alone) -> None:
    began_us = now_us()
    with answering(head, body) as port:
        done = measure(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", "--timeout", "0.3")
    assert done.exit_code == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert now_us() - began_us < 20_000_000


def test_nothing_listening_is_one_line(alone) -> None:
    done = measure("http://127.0.0.1:9", "ws://127.0.0.1:9", "--timeout", "1")
    assert (done.exit_code, done.stderr.count("\n")) == (75, 1)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 400 Bad"])
def test_streams_that_cannot_be_opened_are_one_line(ready, head, alone) -> None:
    with answering(head) as port:
        done = measure(ready["rest_url"], f"ws://127.0.0.1:{port}", "--samples", "1", "--timeout", "3")
    assert (done.exit_code, done.stderr.count("\n")) == (75, 1), done.stderr
    assert "WS_URL" in done.stderr


@pytest.mark.skipif(not shutil.which("openssl"), reason="the command openssl is not installed")
def test_latency_over_tls_has_the_handshake_and_trusts_only_its_authority(tmp_path) -> None:
    """First byte, clock offset and streams are measured behind the handshake, as at a real exchange."""
    ca = create_authority(tmp_path)
    certificate = issue_certificate(tmp_path, "localhost", ca)
    with (
        serving("--scenario", "zero_intelligence", "--seed", "7") as (_, found),
        tls_front(*certificate, urlsplit(found["rest_url"]).port) as (port, _),
    ):
        words = ("--rest-url", f"https://localhost:{port}", "--ws-url", f"wss://localhost:{port}", "--json")
        words = (
            "-m",
            "mm",
            "latency",
            "--venue",
            "box",
            "--symbol",
            "SIMUSDT",
            "--samples",
            "6",
            "--seconds",
            "3",
            *words,
        )
        refused = run_python(*words, cwd=tmp_path, TMPDIR=str(tmp_path))
        done = run_python(*words, cwd=tmp_path, TMPDIR=str(tmp_path), SSL_CERT_FILE=str(ca))
    assert (refused.returncode, refused.stderr.count("\n")) == (5, 1), refused.stderr
    assert "SSL_CERT_FILE" in refused.stderr
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["tls_ms"]["n"] == measured["connect_ms"]["n"] > 0
    assert measured["tls_ms"]["p50"] > 0
    assert measured["orders_sent"] == 0
