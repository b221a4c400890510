import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from legible import illegible
from mm.report.frame import About, Heatmap, card, document, sizes, wide
from mm.report.sweep import page
from mm.sweep.findings import PlayedPoint, SelectionBias, SweepFindings, find
from mm.sweep.sweep import as_csv, footer_lines, table, write_files
from pages import read
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
    tags = [tag for tag, _ in parsed.seen]
    assert tags.count("svg") == 6
    assert ("table", "heat") in [(tag, attrs.get("class")) for tag, attrs in parsed.seen]
    assert "2<b>" in text
    assert "mm backtest" in text


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


TIP = "(one => one.hidden ? null : one.innerText)({}.querySelector('.tip'))"
PICTURE = "(one => [one.left, one.top, one.width, one.height])({}.querySelector('svg').getBoundingClientRect())"


def grid_page(tmp_path) -> Path:
    """Return the page of three choices under two fill models, where the second fill model lacks the last choice."""
    gammas = replace(GAMMA, values=(0.01, 0.1, 1), texts=("0.01", "0.1", "1"))
    choices = [(g, f) for g in ("0.01", "0.1", "1") for f in ("a", "b")]
    points = [
        played(n, noise(n, mean=0.1 * n), GAMMA=gamma, FILL_MODEL=fills) for n, (gamma, fills) in enumerate(choices, 1)
    ]
    points[-1] = replace(points[-1], texts={"GAMMA": "", "FILL_MODEL": "b"})
    write_files(
        tmp_path, find(points, [gammas, FILLS], "pnl_lower95", [0]), {"symbol": "SIMUSDT", "days": ["20260105"]}
    )
    path = tmp_path / "report.html"
    path.write_text(page(tmp_path), encoding="utf-8")
    return path


def test_tooltip_of_a_mark_names_its_point(chrome, tmp_path):
    """Every point is at its value, next to those of the same value; the tooltip names it, and all zoom."""
    with chrome.tab(grid_page(tmp_path), height=3000) as tab:
        root = "[...document.querySelectorAll('section')].find(one => one.innerText.startsWith('By GAMMA'))"
        root = f"{root}.querySelector('.timeline')"
        labels = f"[...{root}.querySelector('svg').querySelectorAll('.tick.mid')].map(one => one.textContent)"
        assert tab.value(labels) == ["0.01", "0.1", "1"]
        left, top, *_ = tab.value(PICTURE.format(root))
        places = tab.value(f"{root}.querySelector('svg .trial').getAttribute('d')")
        marks = [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", places)]
        assert len(marks) == 5 == len({x for x, _ in marks})  # the point without the axis is not there
        tips = []
        for x, y in marks:
            tab.mouse("mouseMoved", left + x, top + y)
            tips.append(tab.value(TIP.format(root)).split("\n"))
        assert {tip[tip.index("point") + 1] for tip in tips} == {"1", "2", "3", "4", "5"}
        assert tips[0][:2] == ["GAMMA 0.01", "rank"]
        tab.value(f"{root}.querySelector('[data-do=in]').click()")
        tab.settle()
        assert tab.value(labels) == ["0.1"]
        assert tab.seen().errors == []


def test_small_numbers_stay_distinguishable(chrome, tmp_path):
    """Also across, for a PnL of a tenth of a cent: the axis counts in thousandths of its own range."""
    points = [
        replace(played(n, [0.00001 * n] * 240), forwarded=played(n, [0.00002 * n] * 240).outcome) for n in (1, 2, 3)
    ]
    gammas = replace(GAMMA, values=(1, 2, 3), texts=("1", "2", "3"))
    write_files(tmp_path, find(points, [gammas], "pnl_quoting", [0]), {"symbol": "SIMUSDT", "days": ["20260105"]})
    path = tmp_path / "report.html"
    path.write_text(page(tmp_path), encoding="utf-8")
    with chrome.tab(path) as tab:
        root = "[...document.querySelectorAll('section')].find(one => one.innerText.startsWith('PnL, in sample'))"
        root = f"{root}.querySelector('.timeline')"
        places = tab.value(f"{root}.querySelector('svg .trial').getAttribute('d')")
        x = [float(number) for number in re.findall(r"M([\d.]+) ", places)]
        assert x[2] - x[1] == pytest.approx(x[1] - x[0], abs=0.3)
        assert "in sample" in tab.value(f"{root}.querySelector('output').value")


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


def test_heatmap_shows_sign_and_size():
    """Gains and losses differ in colour, larger values are stronger, unknown values are empty, the best is framed."""
    values = [[1.0, -4.0], [None, 2.0]]
    assert sizes(values) == (0.0, 4.0)
    assert sizes([[2.0, 4.0]]) == (2.0, 4.0)
    assert sizes([[None]]) == (0.0, 1.0)
    html = Heatmap(("x", ("a", "b")), ("y", ("c", "d")), values, (0, 0)).table([["1", "-4"], ["–", "2"]], "t")
    read(html)
    cells = re.findall(r'<td class="([\w ]+)"(?: style="--share:([\d.]+)")? title="([^"]*)"', html)
    assert [(kind, title) for kind, _, title in cells] == [
        ("gain best", "x a, y c: 1"), ("loss", "x b, y c: -4"), ("off", "x a, y d: –"), ("gain", "x b, y d: 2")
    ]  # fmt: skip
    strengths = [float(strength) for _, strength, _ in cells if strength]
    assert strengths[0] < strengths[2] < strengths[1]


@pytest.mark.parametrize(("columns", "fits"), [(5, True), (12, False)])
def test_heatmap_is_usable_on_a_phone(chrome, tmp_path, columns, fits):
    """Five columns fit; with more, the names of the rows stay in sight while the table scrolls."""
    names, rows = [f"{0.05 * n:g}" for n in range(1, columns + 1)], ("trade_cross", "queue_prob_power", "own:Mine")
    texts = [["−1,234"] * columns] * len(rows)
    heatmap = Heatmap(("GAMMA", names), ("FILL_MODEL", rows), [[-1234.0] * columns] * len(rows), (1, 1))
    path = tmp_path / "map.html"
    path.write_text(document("map", [card("The grid", "", wide(heatmap.table(texts, "sharpe")))]), encoding="utf-8")
    with chrome.tab(path, width=390) as tab:
        assert tab.value("(w => w.scrollWidth <= w.clientWidth)(document.querySelector('.wide'))") is fits
        assert tab.value("parseFloat(getComputedStyle(document.querySelector('.heat td.loss')).fontSize)") >= 12
        tab.value("document.querySelector('.wide').scrollLeft = 1000")
        left = "(e => e.getBoundingClientRect().left)"
        assert tab.value(f"{left}(document.querySelector('.heat th[scope=row]'))") >= 0
        assert tab.value("document.documentElement.scrollWidth") == 390


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
    printed = "\n".join(footer_lines(findings, SelectionBias(9, 0.01)))
    assert "FILL_MODEL=a: 2 trials (" in printed
    assert "9 trials on record" in printed
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
    record = {"trials": 50, "expected_best_sharpe": 1.0, "best_deflated_sharpe": 0.2}
    text = " ".join(read(page(tmp_path, record=record)).words)
    assert "PnL, in sample and walk-forward" in text
    assert "point 4 failed: no <idea>" in text
    assert "over all 50 trials on record for these days and this fill model the best" in text
    assert "deflated Sharpe is 0.200" in text
    assert table(findings)[0].endswith("w.-f. PnL")
    assert table(findings)[-1].split()[:2] == ["failed", "4"]
