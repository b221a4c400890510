"""Which rows of a recorded day a run has received live."""

import csv

from day_stories import START, at, diff, snapshot, trade, write_day

from mm import load_day
from mm.tape.received import RowsSeen
from mm.tape.tape import TRADE


def test_fetched_trades_were_not_received(tmp_path):
    """They came by REST after they had happened, each of those that stand before the ledger's row of the answer."""
    fetched = [("trade", at(9), *trade(second, number, source="rest")[2:]) for second, number in ((5, 2), (6, 3))]
    answer = ("event", at(9), "backfill", 1, {"rows": 2, "from_id": 2, "to_id": 3})
    rows = [diff(3, 11, 11), trade(4, 1), trade(8, 4), *fetched, answer, trade(10, 5), diff(11, 12, 12)]
    rows.append(("event", at(12), "run_stop", 1, {"reason": "test"}))
    folder = write_day(tmp_path, [START, snapshot(2, 10), *rows])
    with folder.events.open(newline="") as file:
        run_id = next(csv.DictReader(file))["run_id"]
    tape = load_day(folder, as_received=True)
    seen = RowsSeen.of(folder, run_id).of_tape(tape)
    trades = tape.kind == TRADE
    assert sorted(tape.event_id[trades].tolist()) == [1, 2, 3, 4, 5]
    assert tape.event_id[trades & seen].tolist() == [1, 4, 5]
