"""Doors: who may call a server, over what; tried by curl as a stranger would, without the files of the server."""

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("cryptography", reason="needs the extra [live]")
pytest.importorskip("fastapi", reason="needs the extra [api]")
from certificates import self_signed
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from mm.base.doors import READ, ROLES, Door, DoorFiles, Tokens, new_token, read_tokens
from mm.errors import SafetyError, UsageError
from serving import trading_interface
from state_servers import free_port
from support import ROOT, run_python

NEEDS_CURL = pytest.mark.skipif(not shutil.which("curl"), reason="the command curl is not installed")


def write_tokens(path, **roles):
    """Write a file of tokens by name and roles, and return the tokens."""
    made = {name: new_token(name, given.split(",")) for name, given in roles.items()}
    path.write_text("".join(f"{token.line()}\n" for _, token in made.values()))
    path.chmod(0o600)
    return {name: text for name, (text, _) in made.items()}


def asked(door, token=None, role=READ, **headers):
    """Return the status of a refusal; None if a request is allowed."""
    given = {"host": "127.0.0.1", **headers} | ({"authorization": f"Bearer {token}"} if token else {})
    refusal = door.refusal(role, [(name.encode(), value.encode()) for name, value in given.items()])
    return refusal and refusal.status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "mm.example", "0"])
def test_server_for_other_machines_needs_tokens_and_tls(tmp_path, host):
    """Refused without either; a proxy that ends TLS is named as such, and spares no token."""
    write_tokens(tokens := tmp_path / "tokens", a="read")
    certificate, key = self_signed(tmp_path)
    for files in ({}, {"tokens": tokens}, {"certificate": certificate, "key": key}, {"plain_http": True}):
        with pytest.raises(SafetyError, match=r"tokens_file|plain_http"):
            Door(host, DoorFiles(**files))
    for files in ({"certificate": certificate, "key": key}, {"plain_http": True}):
        assert asked(Door(host, DoorFiles(tokens=tokens, **files))) == 401


def test_server_on_loopback_is_open_to_this_machine_until_a_proxy_names_it(tmp_path):
    """A proxy beside it makes other machines its callers."""
    assert asked(Door("127.0.0.1")) is None
    assert asked(Door("127.0.0.1"), host="evil.example") == 403
    assert asked(Door("127.0.0.1"), origin="http://evil.example") == 403
    assert asked(Door("127.0.0.1"), host="127.0.0.1:9109", origin="http://127.0.0.1:9109") is None
    assert asked(Door("127.0.0.1"), host="127.0.0.1:9109", origin="http://127.0.0.1:3000") == 403
    assert asked(Door("127.0.0.1"), host="192.0.2.1") == 403
    with pytest.raises(SafetyError, match="allowed_hosts"):
        Door("127.0.0.1", DoorFiles(allowed_hosts=["mm.example"]))
    token = write_tokens(tmp_path / "tokens", a="read")["a"]
    door = Door("127.0.0.1", DoorFiles(allowed_hosts=["mm.example"], tokens=tmp_path / "tokens"))
    assert asked(door, token, host="mm.example", origin="https://mm.example") is None
    assert asked(door, token, host="127.0.0.1:9109", origin="https://mm.example") is None
    assert asked(door, token, host="mm.example", origin="https://mm.example:8443") == 403
    assert asked(door, host="mm.example") == 401
    assert asked(door, token, host="mm.example", origin="https://evil.example") == 403


def test_file_has_no_token_and_each_role_is_its_own(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", **{role: role for role in ROLES}, both="read,kill")
    door = Door("::1", DoorFiles(tokens=tmp_path / "tokens"))
    for name, token in tokens.items():
        assert token not in (tmp_path / "tokens").read_text()
        allowed = {role for role in ROLES if asked(door, token, role) is None}
        assert allowed == {"read", "kill"} if name == "both" else {name}
    assert asked(door, tokens["read"] + "x") == 401
    assert asked(door, role=None) is None


def test_revoked_token_is_refused_at_once_and_a_broken_file_lets_nobody_in(tmp_path):
    """Without a restart: by a new file, a changed one, an unreadable one, none."""
    path, events = tmp_path / "tokens", []
    first = write_tokens(path, a="read")["a"]
    tokens = Tokens(path, lambda event, **_: events.append(event))
    assert tokens.find(first)
    second = write_tokens(path, b="read")["b"]
    assert (tokens.find(first), bool(tokens.find(second))) == (None, True)
    for spoil in (lambda: path.write_text("b read\n"), lambda: path.chmod(0o640), path.unlink):
        spoil()
        assert tokens.find(second) is None
        second = write_tokens(path, b="read")["b"]
        assert tokens.find(second)
    assert set(events) == {"tokens_read", "tokens_unreadable"}


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [
        ("a read 00\n", 0o600, UsageError),
        ("a write " + "0" * 64, 0o600, UsageError),
        ("a read " + "0" * 64, 0o640, SafetyError),
        ("a read " + "0" * 64, 0o604, SafetyError),
    ],
)
def test_bad_file_of_tokens_is_refused(tmp_path, content, mode, error):
    (tmp_path / "tokens").write_text(content)
    (tmp_path / "tokens").chmod(mode)
    with pytest.raises(error, match="tokens_file"):
        read_tokens(tmp_path / "tokens")


def test_flood_of_refusals_is_counted_whole_and_logged_once_a_second(tmp_path):
    """A stranger must not fill the disk of the log."""
    write_tokens(tmp_path / "tokens", a="read")
    lines = []
    door = Door("::1", DoorFiles(tokens=tmp_path / "tokens"), report=lambda _, **values: lines.append(values))
    for _ in range(1_000):
        assert asked(door, "guess") == 401
    assert door.refusals["unknown_token"] == 1_000
    assert 1 <= len(lines) <= 3
    assert "guess" not in json.dumps(lines)


def test_certificate_that_is_not_usable_is_refused(tmp_path):
    """Expired, of another key, readable by everybody, not there, not PEM."""
    write_tokens(tokens := tmp_path / "tokens", a="read")
    good, old = self_signed(tmp_path), self_signed(tmp_path, "old", days=-1)
    (tmp_path / "text").write_text("no PEM")
    shutil.copy(good[1], tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    for certificate, key, error, why in (
        (*old, SafetyError, "has expired"),
        (good[0], old[1], UsageError, "mismatch"),
        (good[0], tmp_path / "open.key", SafetyError, "every user"),
        (tmp_path / "none", good[1], UsageError, "No such file"),
        (tmp_path / "text", good[1], UsageError, "no certificate"),
        (good[0], None, UsageError, "certificate with its key"),
        (None, good[1], UsageError, "without a certificate"),
    ):
        with pytest.raises(error, match=why):
            Door("127.0.0.1", DoorFiles(tokens=tokens, certificate=certificate, key=key))


def test_renewed_certificate_is_used_without_a_restart(tmp_path):
    """And a broken one is not: the earlier one stays."""
    certificate, key = self_signed(tmp_path)
    events = []
    files = DoorFiles(certificate=certificate, key=key)
    door = Door("127.0.0.1", files, report=lambda event, **_: events.append(event))

    def shown():
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(to_client, to_server)
        server = door.context.wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return client.getpeercert(binary_form=True)

    before, ends = shown(), door.expires_s
    new = self_signed(tmp_path, "new", days=30)
    for path, other in zip((certificate, key), new, strict=True):
        os.replace(other, path)
    after = shown()
    assert after != before
    assert door.expires_s - ends == pytest.approx(28 * 86_400, abs=60)
    certificate.write_text("no PEM")
    assert shown() == after
    assert events == ["certificate_read", "certificate_unreadable"]


class Curl:
    """Calls a server as a stranger would; answers are status and text, status 0 without an answer."""

    def __init__(self, base, authority):
        self.base, self.authority = base, authority

    def __call__(self, path, *words, token="", base=None):
        """Return the answer to a request."""
        known = ("--header", f"Authorization: Bearer {token}") if token else ()
        command = ("curl", "--silent", "--noproxy", "*", "--max-time", "20", "--cacert", self.authority)
        done = subprocess.run(
            [*command, "--write-out", "\n%{http_code}", *known, *words, f"{base or self.base}{path}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text


@pytest.fixture
def home(tmp_path):
    """Return a folder with certificate, tokens file and an OUT_ROOT, its tokens, and the variables of a server."""
    certificate, key = self_signed(tmp_path)
    (tmp_path / "out").mkdir()
    tokens = write_tokens(tmp_path / "tokens", reader="read", trader="read,trade", killer="kill", rearmer="rearm")
    names = {"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key, "TOKENS_FILE": tmp_path / "tokens"}
    return tmp_path, tokens, {name: str(path) for name, path in names.items()}


@contextmanager
def watchdog(folder, **variables):
    """Yield the address of the page of a running `mm watchdog`, and its standard error afterwards."""
    place = {"OUT_ROOT": str(folder / "out"), "METRICS_HOST": "0.0.0.0", "METRICS_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", "watchdog"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **place, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    try:
        address = next(line for line in process.stdout if line.startswith("http"))
        yield address.strip().removesuffix("/metrics").replace("0.0.0.0", "localhost"), said
    finally:
        process.terminate()
        said += process.communicate(timeout=20)


@NEEDS_CURL
def test_stranger_reads_no_metrics(home):
    """No token, a wrong one, a wrong role, another host, plain HTTP on the port of TLS; all are counted and logged."""
    folder, tokens, files = home
    with watchdog(folder, **files) as (base, said):
        curl = Curl(base, files["TLS_CERT_FILE"])
        assert base.startswith("https://localhost:")
        assert curl("/metrics")[0] == 401
        assert curl("/health/ready")[0] == 401
        assert curl("/metrics", token="guess")[0] == 401
        assert curl("/metrics", token=tokens["killer"])[0] == 403
        assert curl("/metrics", "--header", "Host: evil.example", token=tokens["reader"])[0] == 403
        assert curl("/metrics", "--header", "Origin: https://evil.example", token=tokens["reader"])[0] == 403
        assert curl("/metrics", token=tokens["reader"], base=base.replace("https", "http"))[0] == 0
        assert curl("/metrics", "--cacert", "/etc/ssl/certs/ca-certificates.crt", token=tokens["reader"])[0] == 0
        assert curl("/health/live") == (200, "live\n")
        status, page = curl("/metrics", token=tokens["reader"])
        assert status == 200
        counted = dict(re.findall(r'mm_requests_refused_total\{reason="(\w+)"\} (\d+)', page))
        assert counted == {"no_token": "2", "unknown_token": "1", "wrong_role": "1", "other_host": "2"}
        assert re.search(r"^mm_certificate_expiry_timestamp_seconds \d{10}", page, re.MULTILINE)
    (_, err) = said
    assert "request_refused" in err
    assert not any(token in err for token in (*tokens.values(), "guess"))


@NEEDS_CURL
def test_stranger_sends_no_order(home):
    """Over TLS: each role its own calls, and the book changes by the trader's order alone."""
    _, tokens, files = home
    flags = [f"--{name.lower().replace('_', '-')}={path}" for name, path in files.items()]
    order = json.dumps({"client_id": "a", "side": "buy", "type": "limit", "price": 100, "size": 1})
    with trading_interface("--scenario", "empty", "--host", "0.0.0.0", *flags) as (_, ready):
        curl = Curl(ready["url"].replace("0.0.0.0", "127.0.0.1"), files["TLS_CERT_FILE"])
        placing = ("/order", "--data", order)
        assert curl(*placing)[0] == 401
        for name in ("reader", "killer", "rearmer"):
            assert curl(*placing, token=tokens[name])[0] == 403
        assert curl(*placing, "--header", "Host: evil.example", token=tokens["trader"])[0] == 403
        assert curl("/book")[0] == curl("/openapi.json")[0] == curl("/health")[0] == 401
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        opening = [
            word for one in (*upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==") for word in ("--header", one)
        ]
        assert curl("/ws/md", "--http1.1", *opening)[0] == 403
        assert curl(*placing, base=curl.base.replace("https", "http"), token=tokens["trader"])[0] == 0
        assert json.loads(curl("/book", token=tokens["reader"])[1])["bids"] == []
        assert curl(*placing, token=tokens["trader"])[0] == 200
        assert curl("/risk/a/kill", "--request", "POST", token=tokens["trader"])[0] == 403
        assert curl("/risk/a/kill", "--request", "POST", token=tokens["killer"])[0] == 200
        assert curl("/risk/a/rearm", "--request", "POST", token=tokens["killer"])[0] == 403
        assert curl("/risk/a/rearm", "--request", "POST", token=tokens["rearmer"])[0] == 200
        assert curl("/docs")[0] == 200  # the page asks for a token itself


def test_stream_ends_when_its_token_is_revoked(home):
    """Also one that was opened before."""
    folder, tokens, files = home

    async def play(ready):
        known = {"additional_headers": {"Authorization": f"Bearer {tokens['trader']}"}, "proxy": None}
        with pytest.raises(InvalidStatus):
            await connect(f"{ready['ws_url']}/ws/md", proxy=None)
        async with connect(f"{ready['ws_url']}/ws/md", **known) as stream:
            await stream.recv()
            write_tokens(folder / "tokens", reader="read")
            with suppress(ConnectionClosedError):
                async with asyncio.timeout(20):
                    async for _ in stream:
                        pass
        assert stream.close_code == 1008

    flags = ("--tokens-file", files["TOKENS_FILE"], "--scenario", "poisson", "--A", "5")
    with trading_interface(*flags) as (_, ready):
        asyncio.run(play(ready))


ONE_LINE = {
    "no token file": ({"METRICS_HOST": "0.0.0.0"}, 5, "needs tokens by --tokens-file"),
    "no TLS": ({"METRICS_HOST": "0.0.0.0", "TLS_CERT_FILE": None, "TLS_KEY_FILE": None}, 5, "PLAIN_HTTP"),
    "no tokens": ({"METRICS_HOST": "0.0.0.0", "TOKENS_FILE": None}, 5, "TOKENS_FILE"),
    "readable by others": ({"mode": 0o644}, 5, "chmod 600"),
    "expired": ({"days": -1}, 5, "has expired"),
    "no such file": ({"TOKENS_FILE": "/nowhere/tokens"}, 2, "cannot be read"),
}


SERVERS = ("record", "shadow", "trade", "sim api", "dashboard")


@pytest.mark.parametrize(
    ("name", "command"), [*((name, "watchdog") for name in ONE_LINE), *(("no TLS", command) for command in SERVERS)]
)
def test_door_that_is_not_shut_prints_one_line_and_serves_nothing(home, name, command):
    """At every command that serves, before a request leaves: nobody listens at the given addresses."""
    if command == "dashboard":
        pytest.importorskip("streamlit", reason="needs the extra [dashboard]")
    folder, _, files = home
    changes, code, said = ONE_LINE[name]
    given = dict(files) if name != "no token file" else {}
    if "days" in changes:
        given["TLS_CERT_FILE"], given["TLS_KEY_FILE"] = map(str, self_signed(folder, "old", days=-1))
    (folder / "tokens").chmod(changes.get("mode", 0o600))
    host = changes.get("METRICS_HOST", "127.0.0.1")
    given |= {"SERVE_HOST": host, "DASHBOARD_HOST": host, "METRICS_HOST": host, "METRICS_PORT": str(free_port())}
    given = {key: value for key, value in (given | changes).items() if isinstance(value, str)}
    nowhere = f"127.0.0.1:{free_port()}"
    venue = {"WS_URL": f"ws://{nowhere}", "REST_URL": f"http://{nowhere}", "WS_API_URL": f"ws://{nowhere}/ws-api/v3"}
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s", "SYMBOL": "SIMUSDT", "VENUE": "box"}
    always = {"WINDOW_START": "always", "START_JITTER_S": "0"}
    done = run_python("-m", "mm", *command.split(), cwd=folder, **given, **venue, **keys, **always)
    assert done.returncode == code, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert said in line
    assert not [text for text in done.stderr.splitlines() if text != line and "run_started" not in text]


@pytest.mark.slow
def test_trader_of_the_interface_needs_its_token(home):
    """Exit 5 with one line without one, and a trade with it."""
    folder, tokens, files = home
    (folder / "mine").write_text(tokens["trader"] + "\n")
    (folder / "mine").chmod(0o600)
    (folder / "weak").write_text(tokens["reader"])
    (folder / "weak").chmod(0o600)
    flags = ("--tokens-file", files["TOKENS_FILE"], "--tls-cert-file", files["TLS_CERT_FILE"])
    with trading_interface("--scenario", "poisson", *flags, "--tls-key-file", files["TLS_KEY_FILE"]) as (_, ready):
        own = {"API_URL": ready["url"].replace("127.0.0.1", "localhost"), "SSL_CERT_FILE": files["TLS_CERT_FILE"]}
        for place in ({}, {"API_TOKEN_FILE": str(folder / "weak")}):
            words = ("trade", "--venue", "api", "--symbol", "SIMUSDT", "--initial-inventory", "10")
            done = run_python("-m", "mm", *words, cwd=folder, **own, **place)
            assert done.returncode == 5, done.stderr
            (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
            assert "API_TOKEN_FILE" in line
        curl = Curl(own["API_URL"], files["TLS_CERT_FILE"])
        trading = subprocess.Popen(
            [sys.executable, "-m", "mm", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), **own, "API_TOKEN_FILE": str(folder / "mine")},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until_s = time.monotonic() + 60
            while not json.loads(curl("/orders/mm_1", token=tokens["reader"])[1]):
                assert trading.poll() is None, trading.communicate()[1]
                assert time.monotonic() < until_s
                time.sleep(0.2)
            trading.terminate()
            assert trading.wait(60) == 0
        finally:
            trading.kill()
            trading.communicate()


def test_tokens_are_added_listed_and_revoked_by_commands(tmp_path):
    """A token is shown once; the file is its owner's alone."""

    def run(*words):
        return run_python("-m", "mm", "token", *words, "--tokens-file", "tokens", cwd=tmp_path)

    added = run("add", "prometheus", "--role", "read")
    assert added.returncode == 0, added.stderr
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o600
    run("add", "desk", "--role", "kill", "--role", "trade")
    assert run("list").stdout.splitlines() == ["prometheus read", "desk trade,kill"]
    tokens = Tokens(tmp_path / "tokens", lambda *_, **__: None)
    assert tokens.find(added.stdout.strip()).name == "prometheus"
    assert run("add", "desk", "--role", "read").returncode == 2
    assert run("add", "x").returncode == 2
    assert run("add", "x y", "--role", "read").returncode == 2
    assert run("revoke", "nobody").returncode == 3
    assert run("revoke", "prometheus").returncode == 0
    assert tokens.find(added.stdout.strip()) is None
