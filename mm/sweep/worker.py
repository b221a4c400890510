"""``python -m mm.sweep.worker``: a process that plays points, a JSON line in, a JSON line out, until its input ends.

Not a child of ``multiprocessing``: nothing of the calling program is imported again, so a notebook or a script
needs no guard, and nothing but text goes from one to the other.
"""

import json
import os
import sys
import traceback
from queue import SimpleQueue
from threading import Thread

from mm.errors import MMError


def main() -> None:
    """Answer each task on stdin; what models print goes to stderr."""
    tasks: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(tasks,), daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        while True:
            answers.write(answer(tasks.get()) + "\n")
            answers.flush()


def answer(line: str) -> str:
    """Return what comes of a task as a line of JSON; a result that JSON cannot hold is an error like any other."""
    from mm.sweep.play import play

    task = json.loads(line)
    try:
        return json.dumps(play(task), allow_nan=False)
    except (TypeError, ValueError) as error:
        told = f"its result cannot be written as JSON: {error}"
        return json.dumps({"error": told, "exit_code": MMError.exit_code, "traceback": traceback.format_exc()})


def _read(tasks: "SimpleQueue[str]") -> None:
    """Pass on each task, and end the process with its input: whoever wanted the answer is gone."""
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
