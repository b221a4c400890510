"""``mm.backtest``, ``mm.sweep`` and ``mm.walkforward`` are callable packages, independent of the import order."""

import inspect
from importlib import import_module

import pytest

import mm
from support import run_python


@pytest.mark.parametrize("name", sorted(mm._PACKAGES))
def test_package_call_forwards_to_function_of_same_name(name, monkeypatch):
    package, home = import_module(f"mm.{name}"), import_module(mm._PUBLIC[name])
    function = vars(home)[name]
    assert inspect.signature(package) == inspect.signature(function)
    assert package.__doc__ == function.__doc__
    monkeypatch.setitem(vars(home), name, lambda *args, **more: (args, more))
    assert package(1, two=2) == ((1,), {"two": 2})


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(mm._PACKAGES))
@pytest.mark.parametrize("first", ["import mm.{0}", "from mm.{0} import __name__ as one", "import {1}", "import mm"])
def test_package_is_callable_regardless_of_import_order(name, first, tmp_path):
    """A script may import a module of the package before or after it uses the function."""
    code = f"{first.format(name, mm._PUBLIC[name])}; import mm; print(callable(mm.{name}), mm.{name}.__name__)"
    assert run_python("-c", code, cwd=tmp_path).stdout.split() == ["True", f"mm.{name}"]
