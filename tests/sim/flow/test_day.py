"""A simulated day as files: the output of a recorder, equal for equal flags."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path

import pytest
from recorded import diffs, rows, snapshot

from day_files import check
from mm import DayFolder
from mm.errors import UsageError
from simulation import simulate_day

DAY = "20260105"


def make(root: Path, day: str = DAY, seed: int = 7, hours: float = 0.1) -> Path:
    folder = simulate_day(root, hours=hours, seed=seed, day=day, sigma_ticks_per_sqrt_s=3.0)
    return folder.path


def hashes(path: Path) -> dict[str, str]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Six minutes with a fast moving mid."""
    return make(tmp_path_factory.mktemp("data"))


def test_frames_match_replay_of_snapshot_and_diffs(path):
    """One frame per diff, top twenty best first, exact to the text, and never crossed."""
    book = snapshot(path)
    frames = rows(path, "orderbook_ws_depth")
    for diff, frame in zip(diffs(path), frames, strict=True):
        for side, levels in (("bid", diff["b"]), ("ask", diff["a"])):
            for price, qty in levels:
                book[side][price] = qty
                if Decimal(qty) == 0:
                    del book[side][price]
        for side, descending in (("bid", True), ("ask", False)):
            best = sorted(book[side], key=Decimal, reverse=descending)[:20]
            recorded = [(frame[f"{side}{n}_price"], frame[f"{side}{n}_qty"]) for n in range(1, 21)]
            assert recorded == [(price, book[side][price]) for price in best]
        assert Decimal(frame["bid1_price"]) < Decimal(frame["ask1_price"])
        assert (frame["recv_seq"], frame["last_update_id"]) == (str(diff["recv_seq"]), str(diff["u"]))
        assert (frame["epoch_id"], frame["event_time_ms"]) == ("1", str(diff["E"]))


def test_ids_have_no_gap(path):
    """Updates follow the snapshot and one another; trade ids are consecutive; recv_seq counts over all files."""
    (loaded,) = (row for row in rows(path, "events") if row["type"] == "snapshot_loaded")
    last_id = json.loads(loaded["details_json"])["last_update_id"]
    seqs = {int(row["recv_seq"]) for row in rows(path, "events")}
    for diff in diffs(path):
        assert diff["U"] == last_id + 1
        assert diff["u"] - last_id >= len(diff["b"]) + len(diff["a"]) > 0
        last_id = diff["u"]
        seqs.add(diff["recv_seq"])
    ids = [int(row["trade_id"]) for row in rows(path, "trades_ws")]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    seqs |= {int(row["recv_seq"]) for row in rows(path, "trades_ws")}
    assert seqs == set(range(1, len(seqs) + 1))


def test_messages_arrive_in_sending_order_within_milliseconds(path):
    """Receive order is exchange order, so the mid before a trade is the one it was executed at."""
    messages = [(d["recv_seq"], d["E"], d["recv_us"], 0) for d in diffs(path)]
    messages += [
        (int(t["recv_seq"]), int(t["trade_time_ms"]), int(t["recv_time_us"]), 1) for t in rows(path, "trades_ws")
    ]
    messages.sort()
    assert [(sent, kind) for _, sent, _, kind in messages] == sorted((sent, kind) for _, sent, _, kind in messages)
    received = [at for _, _, at, _ in messages]
    assert received == sorted(received)
    assert all(2_000 <= at - 1000 * sent <= 9_000 for _, sent, at, _ in messages)
    assert all(sent % 100 == 0 for _, sent, _, kind in messages if kind == 0)


def test_ledger_matches_an_undisturbed_recording(path):
    """One run, one epoch, one window, which encloses every message."""
    events = rows(path, "events")
    assert [row["type"] for row in events] == [
        "run_start", "window_start", "ws_connected", "resync_start", "snapshot_request", "snapshot_loaded",
        "resync_done", "window_end", "run_stop",
    ]  # fmt: skip
    assert [row["epoch_id"] for row in events] == ["0"] * 5 + ["1"] * 4
    times = {row["type"]: int(row["recv_time_us"]) for row in events}
    assert times["window_end"] - times["window_start"] == 360_000_000
    arrivals = [int(row["recv_time_us"]) for row in rows(path, "trades_ws") + rows(path, "orderbook_ws_depth")]
    assert times["resync_done"] < min(arrivals)
    assert max(arrivals) < times["window_end"]


def test_truth_is_in_folder_and_manifest(path):
    """The truth is part of the day, and a change is detected."""
    truth = json.loads((path / "truth.json").read_text())
    assert {"A", "k", "sigma_ticks_per_sqrt_s", "tick_size", "scenario", "seed", "sides"} <= set(truth)
    assert truth["trades"] == len(rows(path, "trades_ws"))
    assert truth["depth_messages"] == len(rows(path, "orderbook_ws_depth"))
    manifest = json.loads((path / f"manifest_SIMUSDT_{DAY}.json").read_text())
    assert manifest["sealed"] is True
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    assert listed == {name: digest for name, digest in hashes(path).items() if name in listed}
    assert set(hashes(path)) - set(listed) == {f"manifest_SIMUSDT_{DAY}.json", "day.lock"}


def test_equal_flags_give_equal_bytes(path, tmp_path):
    """No clock, host or folder name is part of a day."""
    again = make(tmp_path / "elsewhere")
    assert hashes(again) == hashes(path)


def test_another_seed_changes_every_data_file(path, tmp_path):
    """Every stream of draws is keyed by the seed."""
    other = hashes(make(tmp_path, seed=8))
    same = {name for name, one in hashes(path).items() if one == other[name]}
    assert same == {"day.lock", "instrument.json", "schema.json", f"gaps_SIMUSDT_{DAY}.csv"}


def test_simulated_day_is_replaced_completely(tmp_path):
    """A demo may be run twice; the folder holds one run."""
    first = hashes(make(tmp_path))
    assert hashes(make(tmp_path)) == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["SIMUSDT"]
    assert [entry.name for entry in (tmp_path / "SIMUSDT").iterdir()] == [DAY]


def test_recorded_day_is_never_replaced(tmp_path):
    """A folder without a truth was not simulated."""
    folder = DayFolder(tmp_path, "SIMUSDT", DAY)
    folder.path.mkdir(parents=True)
    kept = folder.path / "something.csv"
    kept.write_text("mine")
    with pytest.raises(UsageError, match="not a simulated day"):
        make(tmp_path)
    assert kept.read_text() == "mine"


def test_check_day_finds_no_defects(path):
    """The check of recorded days holds for simulated ones."""
    report = check(path)
    assert (report.ok, list(report.defects)) == (True, [])


def test_progress_sums_to_session_length(tmp_path):
    """A day of fourteen hours takes half a minute; a bar that counts days would not move until its end."""
    steps: list[int] = []
    simulate_day(tmp_path, hours=0.1, seed=7, step=steps.append)
    assert len(steps) > 3
    assert sum(steps) == 360_000_000
