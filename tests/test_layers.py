"""Modules import only from their own and lower layers; docs/architecture.md draws the layers."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from support import ROOT, run_python

PACKAGE = ROOT / "mm"
# Lowest first; a module may import its own layer and those before it.
LAYERS = [
    # cli.knobs: declarations of knobs, which stand beside the code that uses them
    [
        "errors",
        "instrument",
        "clock",
        "ids",
        "callable_package",
        "code_identity",
        "dataclass",
        "notebook",
        "numbers",
        "user_code",
        "atomic_file",
        "cli.knobs",
    ],
    ["dayfolder", "market_data"],
    ["tape", "predict", "signals", "formats"],
    ["backtest"],
    ["calibration"],
    ["walkforward"],
    ["report"],
    ["cli", "plugins", "runs"],
    ["quote_tree", "model_builder", "backtest_call", "run_folder", "commands"],
    ["live"],
]
# What subpackages of the backtest may import from its other subpackages.
SUBPACKAGES = {"metrics": {"fills", "journal", "run_terms"}}
# Entry points: they may import everything, and nothing below imports them.
# In mm/commands, only the modules that build objects from knobs are not entry points.
ENTRIES = re.compile(
    r"mm\.(runner_\w+|__main__|commands\.(?!assemble|setup)\w+|(api|bench|dashboard|evaluate|rl|sim|sweep)(\..+)?"
    r"|market_data\.recorder|report\.redraw)\Z"
)
FRAME = set(LAYERS[7])
# Packages that the recorder may import, and heavy dependencies that it must not import.
RECORDER = {*LAYERS[0], "dayfolder", "market_data", *FRAME}
HEAVY = {"numpy", "polars", "pyarrow", "scipy", "isal", "Cython"}
# Modules that the dashboard may import: files and their readers, declarations of commands, no engine.
DASHBOARD = {
    *LAYERS[0],
    "dayfolder",
    "tape.load",
    "report",
    *FRAME,
    "run_folder",
    "commands.backtest",
    "commands.sweep",
}
DASHBOARD |= {
    "backtest.metrics",
    "backtest.risk",
    "calibration.goodness",
    "commands.risk",
    "live.audit",
    "market_data.health",
}
ENGINES = {"mm.backtest._engine", "mm.backtest._paper_venue", "mm.live._live_engine", "mm.sim.matching._core"}
# `python -m` entry points in lower layers, which call the runner of their command.
MODULE_ENTRIES = {
    "mm.calibration.runner_calibration": "mm.commands.calibrate",
    "mm.calibration.poisson_fit": "mm.commands.fit",
    "mm.market_data.import_capture": "mm.commands.data",
    "mm.market_data.check": "mm.commands.data",
}


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name, including kernels."""
    found = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported(path: Path) -> set[str]:
    """Return the dotted names that a module imports, including imports inside functions."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        return set(re.findall(r"^\s*(?:from|import|cimport)\s+([\w.]+)", text, re.MULTILINE))
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def layer(module: str) -> int | None:
    """Return the layer of a module, None for entry points and the package itself."""
    if module == "mm" or ENTRIES.match(module):
        return None
    inside = module.removeprefix("mm.")
    places = (inside, inside.split(".")[0])
    return next(number for place in places for number, packages in enumerate(LAYERS) if place in packages)


@pytest.mark.parametrize("name", modules())
def test_modules_import_only_same_or_lower_layers(name: str) -> None:
    """No layer depends on a layer above it."""
    own = layer(name)
    if own is None:
        return
    for other in imported(modules()[name]):
        if not other.startswith("mm.") or other not in modules() or other == MODULE_ENTRIES.get(name):
            continue
        below = layer(other)
        assert below is not None, f"{name} imports the entry point {other}"
        assert below <= own, f"{name} (layer {own}) imports {other} (layer {below})"
        assert below != 7 or own >= 7, f"{name} depends on the command line through {other}"


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_backtest_subpackages_import_only_allowed_siblings(subpackage: str) -> None:
    """Metrics are computed from a journal alone."""
    inside = [name for name in modules() if name.startswith(f"mm.backtest.{subpackage}.")]
    assert inside
    for name in inside:
        for other in imported(modules()[name]) & set(modules()):
            if other.startswith("mm.backtest.") and other.split(".")[2] != subpackage:
                assert other.split(".")[2] in SUBPACKAGES[subpackage], f"{name} imports {other}"


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith(("mm.dayfolder.", "mm.market_data."))])
def test_recorder_modules_import_no_heavy_packages(name: str) -> None:
    """The recorder host has no compiler, and the process stays under 30 MB."""
    for other in imported(modules()[name]):
        faster = (name, other.split(".")[0]) == ("mm.dayfolder.line_files", "isal")  # optional there
        assert faster or other.split(".")[0] not in HEAVY, f"{name} imports {other}"
        if other.startswith("mm.") and other in modules() and name not in MODULE_ENTRIES:
            assert other.split(".")[1] in RECORDER, f"{name} imports {other}"


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("mm.dashboard.")])
def test_dashboard_imports_only_readers_and_declarations(name: str) -> None:
    """Pages show files; engines run in separate processes."""
    for other in imported(modules()[name]) & set(modules()):
        parts = other.removeprefix("mm.").split(".")
        places = {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        assert "dashboard" in places or other in ("mm", "mm.commands", "mm.live") or places & DASHBOARD, (
            f"{name} imports {other}"
        )


def test_dashboard_app_loads_no_engine() -> None:
    """Includes modules that are imported indirectly."""
    pytest.importorskip("streamlit", reason="streamlit is not installed: [dashboard]")
    code = "import sys, mm.dashboard.app; print(*sys.modules)"
    done = run_python("-W", "ignore", "-c", code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "mm.dashboard.runs_page" in done.stdout.split()
    assert not ENGINES & set(done.stdout.split())
    assert set(modules()) >= ENGINES


@pytest.mark.parametrize("name", [name for name in modules() if layer(name) is not None and layer(name) < 7])
def test_layers_below_command_line_read_no_environment(name: str) -> None:
    """Functions depend on their arguments alone."""
    text = modules()[name].read_text(encoding="utf-8")
    assert not re.search(r"os\.environ|os\.getenv|sys\.argv|logging\.basicConfig|import click", text), name
