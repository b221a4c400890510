"""No look-ahead: changes of the day's files after the end of a training window do not change its segment."""

import gzip
import json
import shutil
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calibrators import calibrator_of, config_of
from mm import CalibrationConfig, DayFolder, Rules, Schedule, WindowPlan, backtest, build_schedule, calibrate, load_day
from mm.backtest.quotes.steps import Gated
from mm.calibration.intensities import intensity_of
from mm.tape import read
from named import is_kind, model_of
from simulation import simulate_day

if TYPE_CHECKING:
    from mm import Tape

METHODS = ("marks", "ladder", "fixed")
MODES = ("rolling", "expanding", "ewma", "pooled_k", "static")
NUMBER = 3  # of the segment whose past is unchanged
RULE = {"order_e8": 200_000_000, "queue_ahead": 0.5}


def plan(mode: str) -> WindowPlan:
    return WindowPlan(train_window_min=8, step_min=4, latency_us=50_000, mode=mode, half_life_min=6)


def config(method: str, hit: dict | None = None) -> CalibrationConfig:
    return config_of(method=method, deltas=(1.0, 3.0, 5.0), dwell_ms=20_000, hit=hit or {}, min_usable_deltas=2)


def schedules(folder: DayFolder) -> dict[tuple[str, str], tuple]:
    """Return the segments of every method and mode, and of marks and ladder under a rule with a queue."""
    tape = load_day(folder)
    rules = [(method, None) for method in METHODS] + [("marks", RULE), ("ladder", RULE)]
    calibrators = {f"{method} {rule}": calibrator_of(tape, config(method, rule)) for method, rule in rules}
    return {
        (name, mode): build_schedule(calibrator, plan(mode)).segments
        for name, calibrator in calibrators.items()
        for mode in MODES
    }


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> DayFolder:
    """Return half an hour of a busy market with files that may be changed."""
    folder = simulate_day(tmp_path_factory.mktemp("sim"), hours=0.5, seed=3, A_per_s=1.0, k_per_tick=0.4)
    folder.manifest.unlink()  # it contains hashes of the files
    return folder


@pytest.fixture(scope="module")
def original_segments(day: DayFolder) -> dict[tuple[str, str], tuple]:
    return schedules(day)


@pytest.fixture(scope="module")
def segments_of(original_segments):
    """Return a function, whose text in the report of a failed example is short."""
    return original_segments.__getitem__


def change_trades(folder: DayFolder, from_us: int, change) -> None:
    """Rewrite each trade received at *from_us* or later with *change*; None removes it."""
    path = next(folder.path.glob("trades_ws_*"))
    head, *lines = path.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    kept = [row if int(row[9]) < from_us else change(row) for row in cells]
    path.write_text("\n".join([head, *(",".join(row) for row in kept if row)]) + "\n")


def change_diffs(folder: DayFolder, from_us: int, change) -> None:
    """Rewrite each depth message received at *from_us* or later with *change*; None removes it."""
    path = next((folder.path / "diffs").glob("*.gz"))
    messages = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    kept = [one if one["recv_us"] < from_us else change(one) for one in messages]
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in kept if one).encode()))


def deeper(row: list[str]) -> list[str]:
    """Move a print by seven ticks to the other side with another quantity."""
    row[6], row[7], row[8] = str(Decimal(row[6]) + Decimal("0.07")), "3.21000000", "false"
    return row


def bigger(message: dict) -> dict:
    """Change the lots of every level that is not removed."""
    for side in ("b", "a"):
        message[side] = [[price, "55.50000000" if float(lots) else lots] for price, lots in message[side]]
    return message


def nth(*numbers):
    """Return a change that removes the rows with these numbers, counted from 0."""
    count = iter(range(1 << 30))
    return lambda row: None if next(count) in numbers else row


CHANGES = {
    "trade ids missing": lambda folder, us: change_trades(folder, us, nth(0, 1)),
    "depth ids missing": lambda folder, us: change_diffs(folder, us, nth(0)),
    "prints moved": lambda folder, us: change_trades(folder, us, deeper),
    "prints gone": lambda folder, us: change_trades(folder, us, lambda _: None),
    "finer quantities": lambda folder, us: change_trades(folder, us, lambda row: [*row[:7], "0.00000001", *row[8:]]),
    "books changed": lambda folder, us: change_diffs(folder, us, bigger),
    "messages lost": lambda folder, us: change_diffs(folder, us, lambda one: one if one["recv_seq"] % 5 else None),
    "the day ends": lambda folder, us: (
        change_trades(folder, us, lambda _: None),
        change_diffs(folder, us, lambda _: None),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("change_name", CHANGES)
def test_later_changes_do_not_affect_trained_segments(day, original_segments, tmp_path, change_name):
    """Bit for bit, for every mode and method: segments trained before the change are equal."""
    kept = {name: segments[: NUMBER + 1] for name, segments in original_segments.items()}
    from_us = next(iter(kept.values()))[NUMBER].train_end_us
    changed_day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(day.path, changed_day.path)
    CHANGES[change_name](changed_day, from_us)
    found = schedules(changed_day)
    for name, segments in kept.items():
        earlier = found[name][: NUMBER + 1]
        assert len(earlier) == NUMBER + (change_name != "the day ends"), name
        assert [fields_of(segment) for segment in earlier] == [
            fields_of(segment) for segment in segments[: len(earlier)]
        ], name
    if change_name in ("prints moved", "prints gone"):
        assert all(
            found[name][NUMBER + 1 :] != segments[NUMBER + 1 :]
            for name, segments in original_segments.items()
            if name[1] != "static"
        )


@pytest.mark.slow
@pytest.mark.parametrize("change_name", ["trade ids missing", "depth ids missing"])
def test_ids_missing_after_a_window_take_no_exposure_from_it(day, original_segments, tmp_path, change_name):
    """The tape ends its book before the window's end, because it is known now; a fit of the window does not."""
    segment = original_segments["marks None", "rolling"][NUMBER]
    span = segment.train_start_us, segment.train_end_us
    changed_day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(day.path, changed_day.path)
    CHANGES[change_name](changed_day, span[1])
    tape = load_day(changed_day)
    assert tape.revised_after(span[1])
    assert is_kind(tape, "gap")[tape.event_us < span[1]].any()
    whole = load_day(day)
    for method, rule in (("marks", None), ("ladder", None)):
        ours, other = (calibrator_of(one, config(method, rule)).fit(*span)[0] for one in (tape, whole))
        assert ours == other
    assert calibrate(tape.between(*span), config("marks")).A == calibrate(whole.between(*span), config("marks")).A
    assert (
        build_schedule(calibrator_of(tape, config("marks")), plan("rolling")).segments[: NUMBER + 1]
        == (original_segments["marks None", "rolling"][: NUMBER + 1])
    )


def fields_of(segment) -> dict:
    """Return all fields of a segment except its end, which is earlier when the day ends earlier."""
    return {name: getattr(segment, name) for name in segment.__slots__ if name != "end_us"}


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> DayFolder:
    """Return half an hour of self-exciting orders."""
    folder = simulate_day(
        tmp_path_factory.mktemp("sim"), "hawkes", hours=0.5, seed=3, mu_per_s=0.5, branching_ratio=0.6, beta_per_s=0.5
    )
    folder.manifest.unlink()
    return folder


def clustered(folder: DayFolder) -> dict[str, tuple["Tape", Schedule]]:
    """Return the day and its schedules with clustering, by mode."""
    tape = load_day(folder)
    calibrator = calibrator_of(tape, config("marks"))
    return {mode: (tape, build_schedule(calibrator, replace(plan(mode), clustered=True))) for mode in MODES}


def fills_until(tape: "Tape", schedule: Schedule, us: int) -> list[list[int]]:
    """Return instant, order, side and price of hawkes fills before *us* for orders resting at 2 ticks."""
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    intensity = intensity_of(schedule)
    quotes = Gated(model_of("fixed_spread", delta_ticks=2), intensity)
    fills = backtest(tape, quotes, model_of("hawkes", intensity=intensity), rules).journal.fills
    return fills[fills[:, 0] < us, :4].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("change_name", CHANGES)
def test_later_changes_do_not_affect_excitation(bursts, tmp_path, change_name):
    """Process, earlier means and earlier fills are equal to the last bit; later means differ."""
    original = clustered(bursts)
    segments = original["rolling"][1].segments
    from_us = segments[NUMBER].train_end_us
    changed_day = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(bursts.path, changed_day.path)
    CHANGES[change_name](changed_day, from_us)
    found = clustered(changed_day)
    for mode, (tape, schedule) in original.items():
        other_tape, other = found[mode]
        assert other.clustering == schedule.clustering, mode
        assert other.clustering["kernels"], mode
        earlier = other.segments[: NUMBER + 1]
        assert [fields_of(one) for one in earlier] == [fields_of(one) for one in schedule.segments[: len(earlier)]], (
            mode
        )
        # a backtest plays the day as it is known now: without the time that ids missing later take from it
        hidden = [begin for begin, end in other_tape.meta.hindsight if begin < from_us <= end]
        until_us = min([from_us, int(other_tape.event_us[-1]), *hidden])
        fills = fills_until(tape, schedule, until_us)
        assert len(fills) > 100, mode
        assert fills_until(other_tape, other, until_us) == fills, mode
        later = [[one.mean_bid_per_s for one in each.segments[NUMBER + 1 :]] for each in (schedule, other)]
        if change_name in ("prints moved", "prints gone") and mode != "static":
            assert later[0] != later[1], mode


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 5 * 60_000_000), st.sampled_from(MODES), st.integers(-9, 9), st.sampled_from(["true", "false"]))
@example(0, "static", 0, "true")
def test_arbitrary_later_prints_do_not_affect_trained_segments(day, segments_of, after_us, mode, ticks, maker):
    """From any instant on, prints may move by any number of ticks to any side."""
    segments = segments_of(("marks None", mode))
    first = segments[0].train_end_us
    from_us = first + after_us
    original = next(day.path.glob("trades_ws_*"))
    text = original.read_text()

    def other(row):
        row[6], row[8] = str(Decimal(row[6]) + Decimal(ticks) / 100), maker
        return row

    try:
        change_trades(day, from_us, other)
        found = build_schedule(calibrator_of(load_day(day), config("marks")), plan(mode)).segments
    finally:
        original.write_text(text)
    earlier = [segment for segment in segments if segment.train_end_us <= from_us]
    assert found[: len(earlier)] == tuple(earlier)


def test_day_is_read_once_for_any_number_of_windows(day, monkeypatch):
    """Windows are slices: more segments or modes do not parse the files again."""
    reads = []
    original = read.read_day

    def counted(*args, **kwargs):
        reads.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(read, "read_day", counted)
    tape = load_day(day)
    for step_min in (8, 0.5):
        for method in METHODS:
            schedule = build_schedule(calibrator_of(tape, config(method)), WindowPlan(8, step_min))
            assert len(schedule.segments) == pytest.approx(22 / step_min, abs=1)
    assert len(reads) == 1
