"""The budgets of the house: short modules, short functions, few parameters, a word for every public name."""

import ast
from pathlib import Path

import pytest

from support import ROOT

PYTHON = sorted((ROOT / "mm").rglob("*.py"))
KERNELS = sorted((ROOT / "mm").rglob("*.pyx"))
LINES, KERNEL_LINES, FUNCTION_LINES = 500, 700, 60


def named(path: Path) -> str:
    """Return a path as it reads in a report."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*PYTHON, *KERNELS], ids=named)
def test_modules_hold_one_idea(path: Path) -> None:
    """A module that outgrows its budget holds two ideas."""
    budget = KERNEL_LINES if path.suffix == ".pyx" else LINES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= budget


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_functions_are_short(path: Path) -> None:
    """A function that does not fit on a screen is not read."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", KERNELS, ids=named)
def test_every_kernel_has_a_typed_face(path: Path) -> None:
    """mypy and editors see a kernel through the .pyi beside it."""
    assert path.with_suffix(".pyi").exists()


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by name alone: two of one name shadow each other when all are run at once."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
