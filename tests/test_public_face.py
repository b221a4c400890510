"""The Python face of contract §12: the names, whatever was imported before."""

import inspect

import mm
from support import run_python


def test_every_name_of_the_face_is_there() -> None:
    """What the project promises to other people's notebooks."""
    for name in mm.__all__:
        assert callable(getattr(mm, name)), name


def test_a_folder_of_the_functions_name_is_the_function_too(tmp_path) -> None:
    """``mm.backtest(tape, …)`` works after anything of ``mm.backtest.*`` was imported, and before."""
    for first in ("import mm", "import mm.backtest.rules, mm.walkforward.walkforward as w; import mm"):
        code = (
            f"{first}\nfrom mm import backtest\nassert callable(mm.backtest) and callable(mm.walkforward)\nbacktest()"
        )
        done = run_python("-c", code, cwd=tmp_path)
        assert "missing 1 required positional argument: 'tape'" in done.stderr


def test_importing_the_package_imports_nothing_heavy(tmp_path) -> None:
    """A script that only asks for the version waits for nothing."""
    code = "import sys, mm; assert not {'numpy', 'polars', 'scipy', 'pyarrow', 'click'} & set(sys.modules)"
    assert run_python("-c", code, cwd=tmp_path).returncode == 0


def test_an_unknown_name_is_refused_as_python_does() -> None:
    """``hasattr`` and star imports rely on AttributeError."""
    assert not hasattr(mm, "forecast")
    assert inspect.ismodule(mm.backtest)
