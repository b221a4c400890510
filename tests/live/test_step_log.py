"""The steps of a trade: few bytes while it lives, all rows in its file."""

import json
import tracemalloc

from mm.live.run.step_log import StepLog

ORDERS = 5_000


def test_steps_of_many_orders_are_kept_in_little_memory(tmp_path):
    """An hour of a busy symbol: 40 bytes a row for the hundred or more of its text, and each row in the file."""
    log = StepLog()
    tracemalloc.start()
    for number in range(ORDERS):
        log.fed(3)
        us = 1_700_000_000_000_000 + 137_113 * number
        log.step(us)
        log.note(us + 2_017, "accepted", number + 1, us + 1_984, "12345678")
        log.note(us + 90_000, "closed", number + 1, 1, 10_001 + number % 7, 500_000, "cancelled")
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 40 * 3 * ORDERS
    rows = log.write(tmp_path / "steps.ndjson", {"head": 1})
    with (tmp_path / "steps.ndjson").open() as file:
        head, *lines = map(json.loads, file)
    assert head == {"head": 1}
    assert rows == len(lines) == 3 * ORDERS
    given = [line[1:] for line in lines]
    assert given[::3] == [
        [1_700_000_000_000_000 + 137_113 * number, 3 * (number + 1), "step"] for number in range(ORDERS)
    ]
    assert [line[3] for line in given[1::3]] == list(range(1, ORDERS + 1))
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
