"""``mm sim api`` as a process, for tests that are its clients."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support import ROOT

LONGEST_S = 120


@contextmanager
def trading_interface(*flags: str, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """Yield the process and its ready line; the process is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", "sim", "api", "--port", "0", "--json", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "WARNING", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    killer = threading.Timer(LONGEST_S, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        killer.cancel()
        process.kill()
        process.communicate()
