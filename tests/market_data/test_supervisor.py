"""Several recorders as processes and in one process: short scripts here, real ones in `test_several_recorders`."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import MMError, TryLater, UsageError
from mm.market_data import supervisor as module
from mm.market_data.supervisor import InProcessRecordings, Supervisor, shares, worst


class Log:
    """A log that keeps its events."""

    def __init__(self):
        self.lines = []

    def info(self, event, **numbers):
        self.lines.append((event, numbers))

    warning = info

    def of(self, event):
        return [numbers for name, numbers in self.lines if name == event]


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(module, "MOST_DELAY_S", 0.01)


def supervised(scripts, *, due=lambda: True, during=None, **settings):
    """Run a shell script per symbol; it gets the number of its start as ``$0``."""
    log = Log()

    def command(symbol, start):
        return ["/bin/sh", "-c", scripts[symbol], str(start)]

    async def run():
        keeper = Supervisor(list(scripts), command, log, due, **settings)
        helper = asyncio.create_task(during(keeper, log)) if during else None
        codes = await asyncio.wait_for(keeper.run(), 30)
        if helper:
            await helper
        return codes, keeper.answers

    return *asyncio.run(run()), log


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """Return a function that waits until *count* scripts have written a file because they are ready for a signal."""
    monkeypatch.chdir(tmp_path)
    return lambda count: until(lambda: len(list(tmp_path.glob("ready_*"))) == count)


def test_exit_codes_are_reported_per_symbol():
    """A finished recorder is not restarted."""
    codes, _, log = supervised({"A": "exit 0", "B": "exit 2", "C": "exit 3"})
    assert codes == {"A": 0, "B": 2, "C": 3}
    assert sorted(line["symbol"] for line in log.of("recorder_started")) == ["A", "B", "C"]


def test_only_the_crashed_recorder_is_restarted():
    """Crashes, SIGKILL and a full disk are temporary, so the recorder is restarted."""
    scripts = {"A": "case $0 in 1) exit 1;; 2) kill -9 $$;; 3) exit 75;; esac; exit 0", "B": "exit 0"}
    codes, _, log = supervised(scripts)
    assert codes == {"A": 0, "B": 0}
    assert [(line["symbol"], line["code"]) for line in log.of("recorder_died")] == [("A", 1), ("A", -9), ("A", 75)]


def test_no_process_is_restarted_after_the_window():
    """A recorder started then would wait for the next day."""
    codes, _, log = supervised({"A": "exit 75"}, due=lambda: False)
    assert codes == {"A": 75}
    assert len(log.of("recorder_started")) == 1


def test_signal_is_forwarded_and_the_end_awaited(marks):
    """The supervisor ends after all recorders have written their data."""
    loop = "trap 'sleep 0.05; echo sealed; exit 0' TERM; echo up; : > ready_$$; while :; do sleep 0.01; done"

    async def stop(keeper, log):
        await marks(2)
        keeper.stop("SIGTERM")

    codes, answers, _ = supervised({"A": loop, "B": loop}, during=stop, capture=True)
    assert codes == {"A": 0, "B": 0}
    assert answers == {"A": "up\nsealed\n", "B": "up\nsealed\n"}


def test_signal_during_a_restart_delay_ends_the_supervisor(monkeypatch):
    """A symbol that waits for its restart must not start again."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 60.0)
    monkeypatch.setattr(module, "MOST_DELAY_S", 60.0)

    async def stop(keeper, log):
        await until(
            lambda: log.of("recorder_died") and {"A", "B"} <= {line["symbol"] for line in log.of("recorder_started")}
        )
        keeper.stop("SIGTERM")

    codes, _, _ = supervised({"A": "exit 1", "B": "sleep 60"}, during=stop, spread_s=0.01)
    assert codes == {"A": 1, "B": -15}


def test_unresponsive_process_is_killed(monkeypatch, marks):
    """A hanging disk must not block a shutdown of the machine."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)

    async def stop(keeper, log):
        await marks(1)
        keeper.stop("SIGTERM")

    codes, _, log = supervised({"A": "trap '' TERM; : > ready_1; while :; do sleep 0.01; done"}, during=stop)
    assert codes == {"A": -9}
    assert log.of("recorder_killed")


def test_worst_returns_the_most_severe_exit_code():
    """Unexpected errors rank above usage errors, damaged days and a full disk."""
    assert worst({}) == worst({"A": 0}) == 0
    assert worst({"A": 0, "B": 75}) == 75
    assert worst({"A": 75, "B": 3, "C": 2}) == 2
    assert worst({"A": -9, "B": 2}) == 1


class Recorded:
    """A recording that ends as specified: at once, with an error, or when stopped."""

    def __init__(self, end):
        self.end, self.reasons, self.over = end, [], asyncio.Event()

    async def run(self):
        if isinstance(self.end, Exception):
            raise self.end
        if self.end == "waits":
            await self.over.wait()

    def stop(self, reason):
        self.reasons.append(reason)
        self.over.set()


def side_by_side(ends, *, due=lambda: True, during=None):
    """Record symbols whose runs end as listed, repeating the last entry; return codes, recordings and log."""
    log, begun = Log(), []

    def begin(symbol, start):
        end = ends[symbol][min(start, len(ends[symbol])) - 1]
        if end == "refused":
            raise UsageError("no")
        begun.append((symbol, Recorded(end)))
        return begun[-1][1]

    def as_error(error):
        return error if isinstance(error, MMError) else MMError(f"unforeseen {error!r}")

    async def run():
        together = InProcessRecordings(list(ends), begin, as_error, log, due)
        helper = asyncio.create_task(during(together, log)) if during else None
        codes = await asyncio.wait_for(together.run(), 30)
        if helper:
            await helper
        return codes

    return asyncio.run(run()), begun, log


def test_failed_recordings_do_not_affect_the_others():
    """After a full disk or a defect the recording is restarted, after a usage error it is not."""
    ends = {"A": [None], "B": ["refused"], "C": [UsageError("no")], "D": [TryLater("full"), ZeroDivisionError(), None]}
    codes, begun, log = side_by_side(ends)
    assert codes == {"A": 0, "B": 2, "C": 2, "D": 0}
    assert [symbol for symbol, _ in begun] == ["A", "C", "D", "D", "D"]
    assert [(line["symbol"], line["code"]) for line in log.of("recording_failed")] == [
        ("B", 2),
        ("C", 2),
        ("D", 75),
        ("D", 1),
    ]
    assert "ZeroDivisionError" in log.of("recording_failed")[-1]["reason"]


def test_no_recording_is_restarted_after_the_window():
    codes, begun, _ = side_by_side({"A": [TryLater("full")]}, due=lambda: False)
    assert (codes, len(begun)) == ({"A": 75}, 1)


def test_stop_reaches_every_recording_and_starts_none(monkeypatch):
    """A recording that waits for its restart keeps its last exit code."""
    monkeypatch.setattr(module, "FIRST_DELAY_S", 60.0)
    monkeypatch.setattr(module, "MOST_DELAY_S", 60.0)

    async def stop(together, log):
        await until(lambda: log.of("recorder_died"))
        together.stop("SIGTERM")

    codes, begun, _ = side_by_side({"A": ["waits"], "B": ["waits"], "C": [TryLater("full")]}, during=stop)
    assert codes == {"A": 0, "B": 0, "C": 75}
    assert [(symbol, recording.reasons) for symbol, recording in begun] == [
        ("A", ["SIGTERM"]),
        ("B", ["SIGTERM"]),
        ("C", []),
    ]


@given(st.integers(1, 200), st.integers(1, 40))
def test_symbols_are_split_evenly_into_the_fewest_processes(count, most):
    lists = shares(range(count), most)
    assert [symbol for share in lists for symbol in share] == list(range(count))
    lengths = [len(share) for share in lists]
    assert max(lengths) <= most
    assert max(lengths) - min(lengths) <= 1
    assert (len(lists) - 1) * most < count
