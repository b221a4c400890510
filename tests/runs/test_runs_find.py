"""Finding a run by name: the newest usable fit, and that of a RUN_ID."""

from pathlib import Path

import pytest

from begun_runs import begun, plan_of
from mm.cli.config import named_fit
from mm.errors import DataError, FitError, UsageError
from mm.runs.find import find_fit, open_part, open_run

OUT = Path("out")


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def make_fit(run_id: str, kind: str = "calibration", symbol: str = "BTCUSDT", *, usable: bool = True) -> Path:
    """Make a run of a fit, and return the fit's file."""
    name = "poisson_schedule.json" if kind == "schedule" else "poisson_fit.json"
    method = "marks" if kind == "calibration" else None
    plan = plan_of(kind, method, symbol=symbol, output={"run_id": run_id})
    try:
        with begun(plan) as run:
            run.artefact = name
            run.path(name).write_text("{}")
            if not usable:
                raise FitError("too few fills")
    except FitError:
        pass
    return run.folder / name


def test_last_is_the_newest_usable_fit_of_the_symbol():
    """Neither a fit of another symbol nor an unusable one, even if newer."""
    first = make_fit("a")
    assert find_fit("last", "BTCUSDT", OUT) == first
    second = make_fit("b", "schedule")
    make_fit("c", usable=False)
    make_fit("d", symbol="ETHUSDT")
    assert find_fit("last", "BTCUSDT", OUT) == second
    with pytest.raises(DataError, match=r"has no usable fit of XRPUSDT; make one: mm calibrate --symbol XRPUSDT"):
        find_fit("last", "XRPUSDT", OUT)


def test_run_id_or_its_beginning_names_its_fit():
    """As in mm runs show; a path is left to the reader."""
    first = make_fit("morning_1")
    make_fit("morning_2")
    assert find_fit("morning_1", "BTCUSDT", OUT) == first
    with pytest.raises(DataError, match=r"^2 fits match 'morning'"):
        find_fit("morning", "BTCUSDT", OUT)
    with pytest.raises(DataError, match=r"of that RUN_ID below out; did you mean morning_1\?$"):
        find_fit("mornin_1", "BTCUSDT", OUT)
    with pytest.raises(DataError, match=r"below out; mm runs list --symbol BTCUSDT shows the known ones$"):
        find_fit("quite_another", "BTCUSDT", OUT)
    assert find_fit("fit.json", "BTCUSDT", OUT) is None
    assert find_fit("some/where", "BTCUSDT", OUT) is None


def test_run_id_of_two_kinds_names_the_kinds():
    """No more of the RUN_ID tells them apart; in Python the kind does."""
    fit = make_fit("noon")
    make_fit("noon", "schedule")
    with pytest.raises(DataError, match=r"2 runs match 'noon': .*; give the folder of one, or in Python kinds="):
        open_run("noon", OUT)
    assert open_run("noon", OUT, ["calibration"]).folder == fit.parent


def test_symbol_tells_runs_of_one_run_id_apart():
    """As several days and symbols of one command have it."""
    folders = {symbol: make_fit("morning", symbol=symbol).parent for symbol in ("BTCUSDT", "ETHUSDT")}
    with pytest.raises(DataError, match=r"^2 runs match 'morning'"):
        open_part("morning", OUT)
    for symbol, folder in folders.items():
        assert open_part(f"morning/{symbol}", OUT).folder == folder
    with pytest.raises(DataError, match=r"^2 runs match 'morning'"):
        open_part("morning/XRPUSDT", OUT)
    make_fit("evening")
    with pytest.raises(UsageError, match=r"no part 'XRPUSDT' in it: it is of one symbol"):
        open_part("evening/XRPUSDT", OUT)


def test_resolved_knob_contains_the_file_of_the_fit():
    """The manifest then names the file, and the run can be reproduced when another fit is the newest."""
    file = make_fit("a")
    params = {"symbol": "BTCUSDT", "out_root": OUT}
    assert named_fit({**params, "fill_params_file": Path("last")}) == {"fill_params_file": file}
    assert named_fit({**params, "fill_params_file": file}) == {}
    assert named_fit({**params, "fill_params_file": None}) == {}
    several = {**params, "symbol": "BTCUSDT,ETHUSDT", "fill_params_file": Path("last")}
    assert named_fit(several) == {}  # each symbol's own process finds its own fit
