"""``python -m mm.sweep.worker``: a process that plays points, a JSON line in, a JSON line out, until its input ends.

Not a child of ``multiprocessing``: nothing of the calling program is imported again, so a notebook or a script
needs no guard, and nothing but text goes from one to the other.
"""

import json
import os
import sys


def main() -> None:
    """Answer each task on stdin; what models print goes to stderr."""
    from mm.sweep.play import play

    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(play(json.loads(line)), allow_nan=False) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
