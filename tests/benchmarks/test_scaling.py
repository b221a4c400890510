"""The costs of all symbols, days and points: each rate times its number of occurrences."""

import pytest

pytest.importorskip("distributed", reason="needs the extra [cluster]")

from benchmarks import scaling

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

RATES = scaling.Rates(
    hours=12.0,
    rows=1_000,
    tape_s=1.8,
    sweep_s=0.72,
    point_s={"trade_cross": 0.0072, "queue_prob_power": 0.0144},
    put_s=0.36,
    fetch_s=0.9,
    cluster_s=0.00036,
    day_mb=10.0,
    tape_mb=40.0,
    object_mb=10.0,
    task_kb=1.0,
    result_kb=4.5,
)


def cells(line: str) -> list[str]:
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_table_multiplies_rates_of_24_hours_by_occurrences():
    rows = {row[0]: row[1:] for row in map(cells, scaling.table(RATES))}
    assert rows["a day's files to a tape"] == ["250,000", "3.6 s", "250", "", ""]
    assert rows["tapes into the store"] == ["250,000", "0.72 s", "50", "20 MB", "5.0 TB"]
    assert rows["out of the store, opened, indexed, once a day"] == ["250,000", "1.8 s", "125", "20 MB", "5.0 TB"]
    assert rows["sweeps: start, findings, page"] == ["250,000", "0.72 s", "50", "", ""]
    assert rows["points through the cluster"] == ["25,000,000", "0.00036 s", "2", "0.01 MB", "0.2 TB"]
    assert rows["points, trade_cross"] == ["25,000,000", "0.0144 s", "100", "", ""]
    assert rows["together, trade_cross"] == ["", "", "578", "", "10.2 TB"]
    assert rows["together, queue_prob_power"] == ["", "", "678", "", "10.2 TB"]


def test_until_raises_with_stderr_of_process_that_ends_early():
    class EndedProcess:
        def poll(self) -> int:
            return 3

        def communicate(self) -> tuple[str, str]:
            return "", "error: no day\n"

    with pytest.raises(scaling.MMError, match="waited in vain until the first points are kept: error: no day"):
        scaling.until(lambda: False, "the first points are kept", EndedProcess())


def test_cluster_s_is_processor_time_per_unplayed_point(monkeypatch):
    """The cost is the processor time of the cluster's processes and of the command."""

    class FakeCluster:
        address, cpu_times = "tcp://host:1", iter([5.0, 25.0])

        def __enter__(self) -> "FakeCluster":
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def cpu_s(self) -> float:
            return next(self.cpu_times)

    batches = []
    monkeypatch.setattr(scaling, "Cluster", lambda *_words: FakeCluster())
    monkeypatch.setattr(scaling, "on_cluster", lambda tasks, _address: batches.append(tasks) or iter(tasks))
    monkeypatch.setattr(scaling, "used", lambda work: work() and 20.0)
    desk = scaling.Desk(None, None, 1)
    assert scaling.cluster_s(desk, [{"code": "1", "store": {}}], 8) == pytest.approx(40.0 / scaling.EMPTY)
    assert [len(tasks) for tasks in batches] == [80, scaling.EMPTY]
    assert batches[1][0] == {"code": "another", "store": None}
