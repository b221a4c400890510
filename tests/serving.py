"""``mm sim serve`` and ``mm sim api`` as processes, for client tests."""

import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import httpx

from support import ROOT

LONGEST_S = 240
Process = subprocess.Popen[str]


@contextmanager
def started(*words: str, longest_s: float = LONGEST_S, **variables: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    """Yield the process ``mm`` *words* and its ready line; it is killed afterwards, or after *longest_s*."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    killer = threading.Timer(longest_s, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


serving = partial(started, "sim", "serve")


@contextmanager
def trading_interface(*flags: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    """Yield the process ``mm sim api`` and its ready line; its log is in a folder of its own."""
    with (
        TemporaryDirectory() as folder,
        started("sim", "api", "--port", "0", "--json", "--out-root", folder, *flags) as running,
    ):
        yield running


def signed(ready: dict[str, Any], who: str, method: str, path: str, **parameters: str | int) -> httpx.Response:
    """Return the response to a request signed by an account with HMAC."""
    account = next(one for one in ready["accounts"] if one["name"] == who)
    with httpx.Client(base_url=f"{ready['rest_url']}/api/v3/", trust_env=False, verify=False) as client:
        query = urlencode({**parameters, "timestamp": client.get("time").json()["serverTime"]})
        signature = hmac.new(account["secret"].encode(), query.encode(), "sha256").hexdigest()
        headers = {"X-MBX-APIKEY": account["api_key"]}
        return client.request(method, f"{path}?{query}&signature={signature}", headers=headers)
