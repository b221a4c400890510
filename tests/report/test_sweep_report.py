import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from legible import illegible
from mm import SweepFindings
from mm.report.frame import About
from mm.report.sweep import page
from mm.sweep.findings import PlayedPoint, find
from mm.sweep.sweep import as_csv, footer_lines, table, write_files
from pages import figures_of, named, read
from played_points import FILLS, GAMMA, noise, played


@pytest.fixture(scope="module")
def findings() -> SweepFindings:
    """Two choices under two fill models."""
    points = [
        played(n, noise(n, mean=0.1 * n), GAMMA=gamma, FILL_MODEL=fills)
        for n, (gamma, fills) in enumerate([(g, f) for g in ("1", "2<b>") for f in ("a", "b")], start=1)
    ]
    return find(points, [GAMMA, FILLS], "pnl_lower95", [0])


@pytest.fixture
def folder(findings, tmp_path) -> Path:
    """A sweep's files."""
    write_files(tmp_path, findings, {"symbol": "SIMUSDT", "days": ["20260105"]})
    return tmp_path


def test_page_is_valid_and_shows_every_part(folder):
    """All cards are there, tags close, and user text cannot break out of its cell."""
    parsed = read(page(folder, About(["mm", "sweep"], {"grid": {"value": "A=1", "source": "flag"}})))
    text = " ".join(parsed.words)
    for heading in ("The grid", "First half, second half", "Over time", "Points", "How to reproduce this"):
        assert heading in text
    figures = figures_of(page(folder))
    assert [figure["data"][0]["type"] for figure in figures].count("heatmap") == 1
    assert len(figures) == 5
    assert "2<b>" in text
    assert "mm backtest" in text


def test_bounds_of_the_chosen_point_are_a_tile(findings, tmp_path):
    best = {**findings.content["best"], "bounds": {"back": {"pnl_quoting": -1.5}, "front": {"pnl_quoting": 4.25}}}
    content = {**findings.content, "best": best}
    write_files(tmp_path, replace(findings, content=content), {"symbol": "SIMUSDT", "days": ["20260105"]})
    assert "Bounds of the chosen −1.5 to +4.25 USDT" in " ".join(" ".join(read(page(tmp_path)).words).split())


def test_page_of_a_sweep_without_points_has_a_note(tmp_path):
    """A sweep whose every point failed also has a page."""
    write_files(tmp_path, find([], [GAMMA], "pnl_lower95", [0]), {"symbol": "S", "days": ["20260105"]})
    html = page(tmp_path)
    read(html)
    assert "have no common time grid" in html


def test_page_is_drawn_in_a_browser(folder, chrome):
    """Charts are drawn, nothing is logged, and the page makes no request."""
    path = folder / "report.html"
    path.write_text(page(folder), encoding="utf-8")
    opened = chrome.opened(path)
    assert (opened.errors, opened.requests) == ([], [])
    assert opened.charts >= 4


def test_each_point_of_the_grid_is_on_the_page(tmp_path):
    """Points that lack an axis are not on its chart."""
    gammas = replace(GAMMA, values=(0.01, 0.1, 1), texts=("0.01", "0.1", "1"))
    choices = [(g, f) for g in ("0.01", "0.1", "1") for f in ("a", "b")]
    points = [
        played(n, noise(n, mean=0.1 * n), GAMMA=gamma, FILL_MODEL=fills) for n, (gamma, fills) in enumerate(choices, 1)
    ]
    points[-1] = replace(points[-1], texts={"GAMMA": "", "FILL_MODEL": "b"})
    write_files(
        tmp_path, find(points, [gammas, FILLS], "pnl_lower95", [0]), {"symbol": "SIMUSDT", "days": ["20260105"]}
    )
    figure = next(
        one
        for one in figures_of(page(tmp_path))
        if one["layout"]["xaxis"].get("title", {}).get("text") == "GAMMA" and one["data"][0]["type"] != "heatmap"
    )
    tips = named(figure, "points")["text"]
    assert {re.search(r"point (\d)", tip)[1] for tip in tips} == {"1", "2", "3", "4", "5"}


def test_every_label_of_a_page_is_legible(chrome, tmp_path):
    """Names of models are long; on a narrow screen a map scrolls, and labels that do not fit an axis are cut."""
    gammas = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "2")
    fills = ("trade_cross", "queue_prob_power", "my_models:OneTickThrough")
    axes = [replace(axis, values=texts, texts=texts) for axis, texts in ((GAMMA, gammas), (FILLS, fills))]
    grid = [(gamma, fill) for gamma in gammas for fill in fills]
    points = [played(n, noise(n, mean=0.1), GAMMA=gamma, FILL_MODEL=fill) for n, (gamma, fill) in enumerate(grid, 1)]
    write_files(tmp_path, find(points, axes, "pnl_lower95", [0]), {"symbol": "SIMUSDT", "days": ["20260105"]})
    path = tmp_path / "report.html"
    path.write_text(page(tmp_path), encoding="utf-8")
    assert illegible(chrome, path) == []


def test_files_contain_rows_and_series_of_all_points(findings, folder):
    """The CSV has a line for each point, and the series adds up to each trial's PnL."""
    content = json.loads((folder / "sweep.json").read_text())
    assert [row["point"] for row in content["rows"]] == [3, 4, 1, 2]
    lines = (folder / "sweep.csv").read_text().splitlines()
    assert lines[0].startswith("rank,point,GAMMA,FILL_MODEL,status,pnl_total")
    assert len(lines) == 5
    assert as_csv([]) == ""
    series = [line.split(",") for line in (folder / "pnl_60s.csv").read_text().splitlines()]
    assert series[0] == ["start_s", "point_1", "point_2", "point_3", "point_4"]
    assert series[2][0] == "60.000000"
    for point in range(1, 5):
        assert sum(float(line[point]) for line in series[1:]) == pytest.approx(sum(noise(point, mean=0.1 * point)))


def test_terminal_shows_ranking_and_selection_bias(findings):
    """A table of the best points, and below it in words how reliable it is."""
    lines = table(findings)
    assert lines[0].split() == [
        "rank", "point", "GAMMA", "FILL_MODEL", "lower", "bound", "tied", "PnL", "of", "the", "hold", "fills",
        "drawdown", "1st", "half", "2nd", "half",
    ]  # fmt: skip
    assert lines[1].split()[:3] == ["1", "3", "2<b>"]
    printed = "\n".join(footer_lines(findings))
    assert "FILL_MODEL=a: 2 trials (" in printed
    assert "the chosen one: " in printed
    assert "walk-forward choice, in blocks of an hour" in printed
    assert "Sharpe" not in printed.replace("deflated Sharpe", "")
    assert "note: FILL_MODEL: assumptions" in printed


def test_walk_forward_columns_and_failed_points_are_shown(tmp_path):
    """In-sample results are compared with walk-forward, and a note names each failed point and its reason."""
    points = [replace(played(n, noise(n)), forwarded=played(n, noise(n + 9)).outcome) for n in (1, 2, 3)]
    error = {"error": "no <idea>", "exit_code": 1, "traceback": ""}
    failed = PlayedPoint(4, {"GAMMA": "4"}, "k4", "mm backtest", error, error)
    findings = find([*points, failed], [GAMMA], "pnl_lower95", [0])
    write_files(tmp_path, findings, {"symbol": "SIMUSDT", "days": ["20260105"]})
    text = " ".join(read(page(tmp_path)).words)
    assert "PnL, in sample and walk-forward" in text
    assert "point 4 failed: no <idea>" in text
    assert table(findings)[0].endswith("w.-f. PnL")
    assert table(findings)[-1].split()[:2] == ["failed", "4"]
