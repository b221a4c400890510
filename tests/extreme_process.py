"""The process that plays extreme cases: a case a line of stdin, an answer a line of stdout, and bounded memory."""

import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SPARE_BYTES = 3 << 30


def answer_lines(ready: Callable[[Path], Callable[[Mapping[str, Any]], str]]) -> None:
    """Answer each case by the function that *ready* makes, given an empty folder, which is removed at the end."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))
    scratch = Path(tempfile.mkdtemp(prefix="mm-extreme-"))
    try:
        answer = ready(scratch)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
