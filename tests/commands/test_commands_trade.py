"""Rejected starts of ``mm trade``: one line, the right exit code, and nothing sent; no exchange is needed."""

import os
import subprocess
import sys

import pytest

from support import ROOT

NOWHERE = {
    "WS_URL": "ws://127.0.0.1:9",
    "REST_URL": "http://127.0.0.1:9",
    "WS_API_URL": "ws://127.0.0.1:9/ws-api/v3",
}
KEYS = {"BINANCE_API_KEY": "k" * 64, "BINANCE_API_SECRET": "s" * 64}


def trade(folder, **variables):
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("BINANCE_", "TRADE_"))}
    return subprocess.run(
        [sys.executable, "-m", "mm", "trade"],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "SYMBOL": "SIMUSDT", "WINDOW_START": "always", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "code", "reason"),
    [
        ({}, 2, "VENUE"),
        ({"VENUE": "elsewhere"}, 2, "VENUE"),
        ({"VENUE": "box", **KEYS}, 2, "WS_URL, REST_URL, WS_API_URL"),
        ({"VENUE": "box", **NOWHERE}, 2, "BINANCE_API_KEY"),
        ({"VENUE": "box", **NOWHERE, **KEYS, "BINANCE_PRIVATE_KEY_FILE": "key.pem"}, 2, "both set"),
        ({"VENUE": "production", **KEYS}, 5, "TRADE_PRODUCTION"),
        ({"VENUE": "production", **KEYS, "TRADE_PRODUCTION": "SIMUSDT"}, 5, "TRADE_PRODUCTION"),
        ({"VENUE": "production", **KEYS, "TRADE_PRODUCTION": "OTHER:100"}, 5, "TRADE_PRODUCTION"),
        ({"VENUE": "box", **NOWHERE, **KEYS, "WIDEN_BANDS": "[[2"}, 2, "WIDEN_BANDS"),
        ({"VENUE": "box", **NOWHERE, **KEYS, "SIZE_RAMP": "[-1]"}, 2, "SIZE_RAMP"),
        ({"VENUE": "box", **NOWHERE, **KEYS, "MAX_POSITION": "-1"}, 2, "MAX_POSITION"),
    ],
)
def test_rejected_start_gives_one_line(tmp_path, variables, code, reason):
    done = trade(tmp_path, **variables)
    assert done.returncode == code, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert reason in line
    assert KEYS["BINANCE_API_SECRET"] not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.ndjson"))
