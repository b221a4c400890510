"""Size figures of the code base, counted from the files; test_shape.py compares them with its budgets.

A module is a ``.py`` or ``.pyx``; an ``__init__`` of at most 5 lines is not counted as a module, and a ``.pxd`` belongs
to its ``.pyx``.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median

from mm.code_identity import imports
from support import ROOT

PACKAGE = ROOT / "mm"
# Packages that share a budget: dayfolder with market_data, walkforward with calibration.
JOINED = {"dayfolder": "market_data", "walkforward": "calibration"}
# Commands of packages that are newer than the goals count for those packages.
TRADING = {f"{name}.py" for name in ("audit", "compare", "risk", "shadow", "state", "trade")}
# Packages that are newer than the goals for lines and modules; they have only their own budgets.
NEW = {"api", "dashboard", "live", "predict", "rl", "signals"}
# Modules without a test file of their name, and why they have none.
SIGNAL = "kernels that test_signal_set.py compares with plain Python, by the same names"
DOOR = "a door of a few lines to a module that is tested; the contract tests go through it"
KERNEL = "a part of the engine, which test_engine.py and test_live_feed.py compare with the oracle"
BASE = "the interface of models; test_compiled_model.py compiles models of a user against it"
NO_FILE = {
    "mm/__init__.py": "test_public_face.py is of what it exports",
    "mm/backtest/run_terms.py": "a record without a method; test_result.py reads results by it",
    "mm/backtest/fills/base.pyx": BASE,
    "mm/backtest/fills/intensity_piece.py": "a row of Intensity, whose test_intensity.py refuses what cannot be",
    "mm/backtest/quotes/base.pyx": BASE,
    "mm/sim/__init__.py": "a table of commands; test_main.py shows the help of each",
    "mm/backtest/_event_buffer.pyx": KERNEL,
    "mm/backtest/_order_manager.pyx": KERNEL,
    "mm/backtest/_own_orders.pyx": KERNEL,
    "mm/backtest/_paper_venue.pyx": KERNEL,
    "mm/backtest/_records.pyx": KERNEL,
    "mm/backtest/io.py": DOOR,
    "mm/backtest/quotes/signal_steps.pyx": "test_view_signal.py plays its steps around models that read signals",
    "mm/bench.py": "test_mm_bench.py tests it, since benchmarks/ has a test_bench.py of its own",
    "mm/dayfolder/_clean_rows.pyx": "rows that check_ahead takes; its test compares them with plain Python",
    "mm/evaluate/_price_levels.pyx": "rows by price of queue_exponent; its test walks the same tapes plainly",
    "mm/evaluate/signal_lookahead.py": "signals/test_own.py plants peeks that it must find",
    "mm/live/_gateway_venue.pyx": "a part of the live engine; test_live_engine.py reports to it",
    "mm/market_data/_captured_lines.pyx": "lines that lines_ahead takes; its test compares them with plain Python",
    "mm/market_data/import_capture.py": DOOR,
    "mm/rl/ppo.py": "test_training.py trains by it, where stable-baselines3 is installed",
    "mm/runner_backtest.py": DOOR,
    "mm/runner_calibrate_schedule.py": DOOR,
    "mm/runner_sweep.py": DOOR,
    "mm/runner_walkforward.py": DOOR,
    "mm/signals/base.pyx": SIGNAL,
    "mm/signals/compute.py": SIGNAL,
    "mm/signals/flow.pyx": SIGNAL,
    "mm/signals/path.pyx": SIGNAL,
}
_IMPORT_LINE = re.compile(r"\s*(from\s+[\w.]+\s+c?import|c?import)\s")
_CLASS = re.compile(r"^\s*(?:cdef\s+)?class\s+(\w+)", re.MULTILINE)


@cache
def text_of(path: Path) -> str:
    """Return the text of a file, read once."""
    return path.read_text(encoding="utf-8")


def sources() -> list[Path]:
    """Return every counted file: sources and declarations, no stubs and no generated files."""
    kinds = (".py", ".pyx", ".pxd")
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in kinds and "__pycache__" not in path.parts)


def lines_of(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(text_of(path).splitlines())


def modules() -> list[Path]:
    """Return every module."""
    return [
        path for path in sources() if path.suffix != ".pxd" and not (path.name == "__init__.py" and lines_of(path) <= 5)
    ]


def package_of(path: Path) -> str:
    """Return the package of a file: its folder below mm/, or ``root``."""
    inside = path.relative_to(PACKAGE).parts
    package = inside[0] if len(inside) > 1 else "root"
    if package == "commands" and path.name in TRADING:
        return "live"
    if package == "commands" and path.stem in NEW:
        return path.stem
    return JOINED.get(package, package)


@cache
def packages() -> dict[str, tuple[int, int]]:
    """Return (lines, modules) of each package."""
    lines = Counter[str]()
    for path in sources():
        lines[package_of(path)] += lines_of(path)
    count = Counter(package_of(path) for path in modules())
    return {room: (lines[room], count[room]) for room in lines}


def import_lines(path: Path) -> int:
    """Return the number of lines of a module that are imports, anywhere in it."""
    if path.suffix != ".py":
        return sum(bool(_IMPORT_LINE.match(line)) for line in text_of(path).splitlines())
    nodes = ast.walk(ast.parse(text_of(path)))
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


def named_modules() -> dict[str, Path]:
    """Return every source except declarations by its dotted name."""
    found = {}
    for path in sources():
        if path.suffix != ".pxd":
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def import_cycles() -> list[list[str]]:
    """Return the import cycles as groups of modules, including imports inside functions."""
    named_paths = named_modules()
    graph = {}
    for name, path in named_paths.items():
        above = {name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)}
        graph[name] = sorted((set(imports(name, path)) & set(named_paths)) - above - {name})
    return sorted(sorted(group) for group in _components(graph) if len(group) > 1)


def _components(graph: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """Yield the strongly connected components of a graph (Tarjan, without recursion)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    for root in graph:
        work = [(root, iter(graph[root]))] if root not in number else []
        if work:
            number[root] = lowest[root] = len(number)
            path.append(root)
        while work:
            node, others = work[-1]
            for other in others:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    path.append(other)
                    work.append((other, iter(graph[other])))
                    break
                if other in path:
                    lowest[node] = min(lowest[node], number[other])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[node])
                if lowest[node] == number[node]:
                    at = path.index(node)
                    yield path[at:]
                    del path[at:]


def repeated_classes() -> dict[str, list[str]]:
    """Return the class names defined in more than one module, with their modules."""
    found = defaultdict(list)
    for path in modules():
        for name in dict.fromkeys(_CLASS.findall(text_of(path))):
            found[name].append(str(path.relative_to(ROOT)))
    return {name: places for name, places in found.items() if len(places) > 1}


def untested() -> list[str]:
    """Return the modules without a test file of their name, except those of NO_FILE.

    The name is ``test_<module>.py``, possibly with the package's name before or after the module's.
    """
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    found = []
    for path in modules():
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        own = parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]
        stem = own.strip("_")
        names = {
            stem,
            *(f"{package}_{stem}" for package in parts[:-1]),
            *(f"{stem}_{package}" for package in parts[:-1]),
        }
        if str(path.relative_to(ROOT)) not in NO_FILE and not any(f"test_{name}" in tests for name in names):
            found.append(str(path.relative_to(ROOT)))
    return found


@cache
def figures() -> dict[str, float]:
    """Return the figures of the code base, by the names of test_shape.py's table; lower is always better."""
    every, counted = sources(), modules()
    total = sum(map(lines_of, every))
    return {
        "lines": sum(lines_of(path) for path in every if package_of(path) not in NEW),
        "modules": sum(package_of(path) not in NEW for path in counted),
        "modules under 100 lines": sum(lines_of(path) < 100 for path in counted),
        "lines that a median module lacks to 180": max(0, 180 - median(map(lines_of, counted))),
        "imports, % of the lines": round(100 * sum(map(import_lines, every)) / total, 2),
        "modules in an import circle": sum(map(len, import_cycles())),
        "largest import circle": max(map(len, import_cycles()), default=0),
        "class names in two modules": len(repeated_classes()),
        "modules without a test file": len(untested()),
        "mean length of a line": round(sum(len(text_of(path)) for path in every) / total - 1, 2),
    }


if __name__ == "__main__":  # what to write into the table: PYTHONPATH=.:tests python tests/shape_figures.py
    for name, value in figures().items():
        print(f"{name:42} {value:>9,}")
    for room, (lines, count) in sorted(packages().items()):
        print(f"{room:42} {lines:>9,} {count:>4}")
    for circle in import_cycles():
        print("circle:", " ".join(circle))
