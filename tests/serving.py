"""``mm sim serve`` as a process, for tests that are its clients."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support import ROOT

LONGEST_S = 240
Process = subprocess.Popen[str]


@contextmanager
def serving(*flags: str, **variables: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    """Yield the process and its ready line; the process is gone afterwards, in four minutes at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", "sim", "serve", *flags],
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
