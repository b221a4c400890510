"""The public Python API of contract §12: its names, independent of earlier imports."""

import inspect

import mm
from support import run_python


def test_every_public_name_is_callable() -> None:
    """The public API is guaranteed to users' notebooks."""
    for name in mm.__all__:
        assert callable(getattr(mm, name)), name


def test_packages_backtest_and_walkforward_are_callable(tmp_path) -> None:
    """``mm.backtest(tape, …)`` works before and after an import from ``mm.backtest.*``."""
    for first in ("import mm", "import mm.backtest.rules, mm.walkforward.walkforward as w; import mm"):
        code = (
            f"{first}\nfrom mm import backtest\nassert callable(mm.backtest) and callable(mm.walkforward)\nbacktest()"
        )
        done = run_python("-c", code, cwd=tmp_path)
        assert "missing 1 required positional argument: 'tape'" in done.stderr


def test_import_mm_imports_no_heavy_packages(tmp_path) -> None:
    """Importing the package is fast."""
    code = "import sys, mm; assert not {'numpy', 'polars', 'scipy', 'pyarrow', 'click'} & set(sys.modules)"
    assert run_python("-c", code, cwd=tmp_path).returncode == 0


def test_unknown_attribute_raises_attribute_error() -> None:
    """``hasattr`` and star imports rely on AttributeError."""
    assert not hasattr(mm, "forecast")
    assert inspect.ismodule(mm.backtest)
