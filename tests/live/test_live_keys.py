"""API keys: which ones are rejected, and that none is ever shown."""

import hmac
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import MMError, SafetyError, UsageError
from mm.live.venues.keys import KEY, KEY_FILE, SECRET, Credentials, read_credentials, sorted_payload
from support import ROOT

# The example of the exchange's documentation of signatures.
DOCUMENTED_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
DOCUMENTED_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


def pem(private: object, how: KeySerializationEncryption | None = None) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption())  # type: ignore[attr-defined]


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "key.pem"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_hmac_signature_matches_documentation() -> None:
    """Both examples of the public documentation, for REST and for the WebSocket API."""
    key = read_credentials({KEY: DOCUMENTED_KEY, SECRET: DOCUMENTED_SECRET})
    rest = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    assert key.sign(rest) == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    parameters = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": 100,
        "timestamp": 1645423376532,
        "apiKey": DOCUMENTED_KEY,
    }
    expected = "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert key.sign(sorted_payload(parameters)) == expected


@given(st.binary(max_size=150).map(bytes.hex), st.text(max_size=300))
def test_hmac_signature_equals_standard_library(secret: str, payload: str) -> None:
    """Also for a secret longer than a block of the hash."""
    expected = hmac.digest(secret.encode(), payload.encode(), "sha256").hex()
    assert Credentials("k", secret=secret).sign(payload) == expected


def test_sorted_payload_orders_parameters_by_name() -> None:
    """As the WebSocket API requires for signatures."""
    assert sorted_payload({"b": 2, "a": "%s", "C": "x"}) == "C=x&a=%s&b=2"
    assert sorted_payload({"a": "y", "C": 3, "b": 1}) == "C=3&a=y&b=1"
    assert sorted_payload({"apiKey": "k"}) == "apiKey=k"


def test_ed25519_signature_verifies(tmp_path: Path) -> None:
    """In base64, with the public half of the key in the file."""
    from base64 import b64decode

    private = Ed25519PrivateKey.generate()
    key = read_credentials({KEY: "k1", KEY_FILE: key_file(tmp_path, pem(private))})
    assert key.kind == "ED25519"
    private.public_key().verify(b64decode(key.sign("a=1&b=2")), b"a=1&b=2")


def test_flags_override_the_environment(tmp_path: Path) -> None:
    """A secret given by flag is used even if a key file is set."""
    environ = {KEY: "other", KEY_FILE: str(tmp_path / "none.pem")}
    key = read_credentials(environ, api_key=DOCUMENTED_KEY, api_secret=DOCUMENTED_SECRET)
    assert (key.key, key.kind) == (DOCUMENTED_KEY, "HMAC")


SECRET_TEXT = "s3cr3t" * 8


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "there is no API key"),
        ({SECRET: SECRET_TEXT}, "there is no API key"),
        ({KEY: "k1"}, "nothing signs"),
        ({KEY: "k 1", SECRET: SECRET_TEXT}, "is not an API key"),
        ({KEY: "k1", SECRET: f"-----BEGIN PRIVATE KEY-----{SECRET_TEXT}"}, "is a PEM key"),
        ({KEY: "k1", SECRET: f"{SECRET_TEXT} {SECRET_TEXT}"}, "is not an HMAC secret"),
        ({KEY: "k1", SECRET: SECRET_TEXT, KEY_FILE: "f.pem"}, "both set"),
        ({KEY: "k1", KEY_FILE: "/nowhere/f.pem"}, "cannot be read"),
        ({KEY: "k1", KEY_FILE: "/dev/null"}, "is not a file"),
    ],
)
def test_missing_or_invalid_credentials_raise_one_line_error(environ: dict[str, str], message: str) -> None:
    """Exit code 2, and no key in the message."""
    with pytest.raises(UsageError, match=message) as caught:
        read_credentials(environ)
    assert SECRET_TEXT not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SECRET_TEXT.encode(), "is not a PEM file"),
        (
            b"-----BEGIN PRIVATE KEY-----\n" + SECRET_TEXT.encode() + b"\n-----END PRIVATE KEY-----\n",
            "no readable private key",
        ),
        (pem(generate_private_key(65_537, 2_048)), "of the kind RSA"),
        (pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"pw")), "is encrypted"),
    ],
)
def test_key_file_without_usable_ed25519_key_raises_usage_error(tmp_path: Path, content: bytes, message: str) -> None:
    """An HMAC secret, a broken PEM, another kind of key, a key with a password."""
    with pytest.raises(UsageError, match=message) as caught:
        read_credentials({KEY: "k1", KEY_FILE: key_file(tmp_path, content)})
    assert SECRET_TEXT not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_key_file_accessible_to_others_raises_safety_error(tmp_path: Path, mode: int) -> None:
    """Exit code 5, with the command that fixes it."""
    with pytest.raises(SafetyError, match="chmod 600") as caught:
        read_credentials({KEY: "k1", KEY_FILE: key_file(tmp_path, pem(Ed25519PrivateKey.generate()), mode)})
    assert caught.value.exit_code == 5


def test_credentials_never_show_the_key() -> None:
    """Neither as text nor pickled."""
    key = Credentials(DOCUMENTED_KEY, secret=DOCUMENTED_SECRET)
    assert f"{key} {key!r} {[key]}" == "Credentials(HMAC) Credentials(HMAC) [Credentials(HMAC)]"
    with pytest.raises(TypeError):
        pickle.dumps(key)


PROGRAM = """
import os, sys
from mm.live.venues.keys import blank_process_list, read_credentials
key, secret = sys.argv[1], sys.argv[2].partition("=")[2]
assert blank_process_list([key, secret])
assert "BINANCE_API_SECRET" not in os.environ
print("ready", flush=True)
sys.stdin.read()
"""


def test_process_list_contains_no_key() -> None:
    """Neither in the arguments nor in the environment of a running process."""
    key, secret, from_environment = "K" * 64, "S" * 64, "E" * 64
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, key, f"--api-secret={secret}", "--symbol", "SIMUSDT"],
        env={**os.environ, "PYTHONPATH": str(ROOT), SECRET: from_environment, "OTHER": "kept"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
        process.communicate("")
    shown = arguments + environment
    assert not any(text in shown for text in (key, secret, from_environment))
    assert "--symbol\0SIMUSDT" in arguments
    assert "OTHER=kept" in environment


def test_process_list_contains_no_key_before_anything_is_read(tmp_path: Path) -> None:
    """A command that waits for its file of variables has not begun its own imports, which take seconds."""
    waits = tmp_path / "variables"
    os.mkfifo(waits)
    key, secret, from_environment = "K" * 64, "S" * 64, "E" * 64
    words = ["trade", "--api-key", key, f"--api-secret={secret}", "--symbol", "SIMUSDT"]
    with subprocess.Popen(
        [sys.executable, "-m", "mm", *words],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            SECRET: from_environment,
            "OTHER": "kept",
            "MM_ENV_FILE": str(waits),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        with waits.open("w") as file:
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
            file.write("no variable\n")
        assert process.wait(60) != 0
    shown = arguments + environment
    assert not any(text in shown for text in (key, secret, from_environment))
    assert "--symbol\0SIMUSDT" in arguments
    assert "OTHER=kept" in environment


def test_key_errors_are_mm_errors_with_exit_codes() -> None:
    """The command line prints them as one line."""
    assert issubclass(UsageError, MMError)
    assert (UsageError.exit_code, SafetyError.exit_code) == (2, 5)
