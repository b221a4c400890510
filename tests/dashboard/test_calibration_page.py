"""The page of calibrations: a fit with its points, and a schedule through the day."""

import csv
import json
import shutil

import pytest
from page_reading import figures_of, text_of, titles_of

FIT = "out/calibration/marks/SIMUSDT/20260105_fitted"
SCHEDULE = "out/calibration/schedules/SIMUSDT/20260105_rolling"


def test_fit_shows_its_points_curve_and_intervals(opened, made):
    """The numbers match those of its file."""
    at = opened("calibration_page", run="fitted")
    fit = json.loads((made / FIT / "poisson_fit.json").read_text())
    tiles = {metric.label: metric.value for metric in at.metric}
    assert not at.exception
    assert len(figures_of(at)) == 1
    assert float(tiles["A, 1/s"]) == pytest.approx(fit["A"], rel=1e-3)
    assert float(tiles["k, 1/tick"]) == pytest.approx(fit["k"], rel=1e-3)
    assert tiles["Fills"] == f"{fit['n_fills']:,}"
    assert "95 %" in text_of(at)


def test_runs_with_the_same_run_id_are_separate_menu_entries(opened, made, tmp_path):
    """Regression: "4 runs match 'tour'", and none of them could be opened."""
    shutil.copytree(made / FIT, tmp_path / FIT)
    other = tmp_path / FIT.replace("/marks/", "/ladder/")
    shutil.copytree(made / FIT, other)
    manifest = json.loads((other / "run_manifest.json").read_text())
    manifest["knobs"]["calib_method"]["value"] = "ladder"
    manifest["summary"]["status"] = "poor_fit"
    (other / "run_manifest.json").write_text(json.dumps(manifest))
    at = opened("calibration_page", tmp_path, run="fitted")
    assert not at.exception
    assert not at.error
    menu = at.selectbox(key="calibration")
    assert sorted(option.split(",")[0] for option in menu.options) == [
        f"fitted: calibration {method} SIMUSDT 20260105" for method in ("ladder", "marks")
    ]
    assert "fitted: calibration ladder SIMUSDT 20260105, poor_fit" in menu.options
    for folder in (other, tmp_path / FIT):
        at.selectbox(key="calibration").set_value(str(folder)).run()
        assert not at.error
        assert len(at.metric) == 4


def test_scale_of_rates_follows_the_observed_rates(opened, made):
    """A fit extends beyond its informative range, and would flatten the points into a band."""
    at = opened("calibration_page", run="fitted")
    rows = csv.DictReader((made / FIT / "calibration_points.csv").read_text().splitlines())
    rates = [float(row["lambda_per_s"]) for row in rows if float(row["fills"])]
    (figure,) = figures_of(at)
    low, high = (10.0**end for end in figure["layout"]["yaxis"]["range"])
    assert low <= min(rates)
    assert max(rates) <= high
    assert low > min(rates) / 20
    assert high < max(rates) * 20


def test_schedule_shows_A_and_k_through_the_day(opened, made):
    at = opened("calibration_page", run="rolling")
    segments = json.loads((made / SCHEDULE / "poisson_schedule.json").read_text())["segments"]
    assert not at.exception
    assert [title.split()[0] for title in titles_of(at)] == ["k", "A"]
    assert {metric.label: metric.value for metric in at.metric}["Segments"] == str(len(segments))
    shown = at.dataframe[0].value["k, 1/tick"].astype(float).tolist()
    assert shown == pytest.approx([segment["k"] for segment in segments], rel=1e-3)


def test_newest_calibration_is_shown_by_default(opened, tmp_path):
    """Without a calibration the page shows the command for one."""
    assert opened("calibration_page").selectbox[0].value == "rolling"
    assert "mm calibrate" in text_of(opened("calibration_page", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("fitted", f"{FIT}/poisson_fit.json", "{"),
        ("fitted", f"{FIT}/poisson_fit.json", "{}"),
        ("fitted", f"{FIT}/calibration_points.csv", "a,b\n"),
        ("rolling", f"{SCHEDULE}/poisson_schedule.json", '{"segments": [{}]}'),
        ("rolling", f"{SCHEDULE}/poisson_schedule.json", "[]"),
        ("rolling", f"{SCHEDULE}/run_manifest.json", "{"),
    ],
)
def test_broken_calibration_gives_one_error(opened, made, tmp_path, name, path, text):
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / path).write_text(text)
    at = opened("calibration_page", tmp_path, run=name)
    assert not at.exception
    assert len(at.error) == 1
    assert "\n" not in at.error[0].value
    assert figures_of(at) == []
