"""Equal runs write equal bytes and an equal digest; different runs do not."""

import csv
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_runs import RUNS, run_of
from lab import Lab, Run, mm
from outside import json_of, sha256_of, text_of
from test_contract_folders import FILES, inside, of_orders, run_of_kind, variables_of

pytestmark = pytest.mark.slow  # a process for each case


def elsewhere(lab: Lab, name: str) -> Path:
    """Return a copy of the data root under another name, so that no result can depend on its path."""
    source = lab.sim("plain")

    def make(folder: Path) -> None:
        shutil.copytree(source, folder / "other data")

    return lab.once(f"elsewhere/{name}", make) / "other data"


@pytest.mark.parametrize("name", ["default", "parts", "sides"])
def test_equal_backtests_write_equal_bytes_and_digest(lab: Lab, name: str) -> None:
    """No byte depends on process, hash seed, number of threads, RUN_ID, folder, log level or entry point."""
    first = run_of(lab, name)
    again = Run(
        lab.command(
            f"again/{name}",
            "--json",
            module="mm.runner_backtest",
            **{**variables_of(lab, name), "DATA_ROOT": str(elsewhere(lab, "bytes"))},
            PYTHONHASHSEED="77",
            POLARS_MAX_THREADS="3",
            RUN_ID="another",
            OUT_DIR="deep/er/run",
            LOG_LEVEL="INFO",
        )
    )
    assert again.folder == again.done.cwd / "deep/er/run"
    assert again.manifest["digest"] == first.manifest["digest"]
    for output in of_orders():
        assert (again.folder / output).read_bytes() == (first.folder / output).read_bytes()


def test_digest_differs_for_other_settings_data_and_seed(lab: Lab) -> None:
    """A digest that never changes proves nothing: each of these runs has a different one."""
    digests = {run_of(lab, name).manifest["digest"] for name in RUNS}
    other = lab.backtest("other-seed", **RUNS["hazard"], SEED="9").manifest["digest"]
    assert len(digests | {other}) == len(RUNS) + 1


def test_calibration_and_walk_forward_are_reproducible(lab: Lab) -> None:
    """Fits repeat as well: equal bytes and digests in another process and folder."""
    for kind in ("marks", "walkforward"):
        first = run_of_kind(lab, kind)
        data = {"DATA_ROOT": str(elsewhere(lab, "fits")), "PYTHONHASHSEED": "5"}
        again = (
            lab.over_time(kind, "again", **data)
            if kind == "walkforward"
            else lab.calibration("again", "--method", kind, **data)
        )
        assert again.manifest["digest"] == first.manifest["digest"]
        for name in FILES[kind] - {"report.html", "backtest/report.html"}:
            assert (again.folder / name).read_bytes() == (first.folder / name).read_bytes(), name


def test_digest_does_not_depend_on_path_of_fit(lab: Lab) -> None:
    """Contract §8: the digest depends on the content of FILL_PARAMS_FILE, not on its path."""
    fit = lab.calibration("marks", "--method", "marks").artefact
    copied = lab.root / "a fit by another name.json"
    shutil.copy(fit, copied)
    runs = [
        lab.backtest(f"fitted-{number}", FILL_MODEL="poisson", FILL_PARAMS_FILE=str(path))
        for number, path in enumerate((fit, copied))
    ]
    assert runs[0].manifest["digest"] == runs[1].manifest["digest"]
    assert sha256_of(fit) in {entry["sha256"] for entry in runs[0].manifest["inputs"]}


def test_cached_tape_gives_same_digest(lab: Lab) -> None:
    """The second run loads the tape from the cache (`hit`) with the same digest; a changed day is read again."""
    folder = lab.root / "cached"
    data = shutil.copytree(lab.sim("plain"), folder / "data")
    variables = {**variables_of(lab, "lives"), "DATA_ROOT": str(data)}
    runs = [Run(mm("backtest", "--json", cwd=folder, RUN_ID=f"r{n}", OUT_ROOT="o", **variables)) for n in (1, 2)]
    assert [run.manifest["timings"]["tape_cache"] for run in runs] == ["miss", "hit"]
    assert runs[0].manifest["digest"] == runs[1].manifest["digest"]
    trades = next(data.rglob("trades_ws_*"))
    trades.write_text("\n".join(text_of(trades).split("\n")[:-200]) + "\n")
    next(data.rglob("manifest_*")).unlink()
    third = Run(mm("backtest", "--json", cwd=folder, RUN_ID="r3", OUT_ROOT="o", **variables))
    assert third.manifest["timings"]["tape_cache"] == "miss"
    assert third.manifest["digest"] != runs[0].manifest["digest"]


def test_equal_sim_day_flags_write_equal_bytes(lab: Lab) -> None:
    """Contract §10: same flags, same bytes; another seed gives another day; truth.json has its keys."""
    days = [lab.sim(name, *flags) / "SIMUSDT/20260105" for name, flags in (("plain", ()), ("twin", ()))]
    other = lab.sim("other", "--seed", "8") / "SIMUSDT/20260105"
    for name in inside(days[0]):
        assert (days[0] / name).read_bytes() == (days[1] / name).read_bytes(), name
    assert next(other.glob("trades_ws_*")).read_bytes() != next(days[0].glob("trades_ws_*")).read_bytes()
    truth = json_of(days[0] / "truth.json")
    assert [
        key
        for key in ["A", "k", "sigma_ticks_per_sqrt_s", "tick_size", "scenario", "seed", "sides"]
        if key not in truth
    ] == []


def zipped(day: Path) -> None:
    """Compress the tables and decompress the diffs."""
    for path in [*day.glob("*.csv"), *day.glob("snapshots/*.csv")]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    (path,) = day.glob("diffs/*.gz")
    path.with_suffix("").write_text(text_of(path))
    path.unlink()


def in_members(day: Path) -> None:
    """Rewrite the diffs as a gzip file of many members, as written by a recorder that flushes."""
    (path,) = day.glob("diffs/*.gz")
    lines = text_of(path).splitlines(keepends=True)
    parts = ("".join(lines[at : at + 300]) for at in range(0, len(lines), 300))
    path.write_bytes(b"".join(gzip.compress(part.encode()) for part in parts))


def older(day: Path) -> None:
    """Remove the trailing columns that later versions added."""
    for pattern, added in (("trades_ws_*", 4), ("events_*", 1), ("orderbook_ws_*", 2), ("gaps_*", 1)):
        (path,) = day.glob(pattern)
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(row[:-added] for row in rows)


@pytest.mark.parametrize("form", [zipped, in_members, older])
def test_backtest_reads_every_file_format_of_day(lab: Lab, form: Callable[[Path], None]) -> None:
    """CSV or gzip, one gzip member or many, without the trailing columns of later versions: equal results."""

    def make(folder: Path) -> None:
        data = shutil.copytree(lab.wild(), folder / "data")
        next(data.rglob("manifest_*")).unlink()
        form(data / "WILDUSDT/20260105")

    data = lab.once(f"forms/{form.__name__}", make) / "data"
    first = run_of(lab, "wild-parts")
    again = lab.backtest(f"form-{form.__name__}", **RUNS["wild-parts"], DATA_ROOT=str(data))
    for output in ("orders_WILDUSDT.csv", "fills_WILDUSDT.csv", "state_WILDUSDT.csv"):
        if form is not older:
            assert (again.folder / output).read_bytes() == (first.folder / output).read_bytes()
    counts = [json_of(run.file("summary.json"))["n_fills"] for run in (first, again)]
    assert abs(counts[0] - counts[1]) < 0.02 * counts[0]
