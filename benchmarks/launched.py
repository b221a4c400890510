"""``python -I -S launched.py FD COMMAND…``: runs a command, and writes its usage as one JSON object to a descriptor.

This is a separate, small process, because on Linux the peak memory of a program starts with that of its parent: after a
measurement within the bench process, every command would seem as large as the bench.
"""

import json
import os
import subprocess
import sys
import time


def main(report: str, *command: str) -> None:
    """Run *command* to its end, and write its exit code, seconds and peak memory (KiB; bytes on macOS) to *report*."""
    began = time.perf_counter()
    with subprocess.Popen(command) as child:
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
    taken = {"code": child.returncode, "wall_s": wall_s, "user_s": used.ru_utime, "peak": used.ru_maxrss}
    os.write(int(report), json.dumps(taken).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
