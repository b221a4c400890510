"""``mm.backtest``, ``mm.sweep`` and ``mm.walkforward`` are packages that can be called, whatever was imported first."""

import inspect
from importlib import import_module

import pytest

import mm
from support import run_python


@pytest.mark.parametrize("name", sorted(mm._PACKAGES))
def test_a_package_calls_the_function_of_its_name(name, monkeypatch):
    package, home = import_module(f"mm.{name}"), import_module(mm._PUBLIC[name])
    function = vars(home)[name]
    assert inspect.signature(package) == inspect.signature(function)
    assert package.__doc__ == function.__doc__
    monkeypatch.setitem(vars(home), name, lambda *args, **more: (args, more))
    assert package(1, two=2) == ((1,), {"two": 2})


@pytest.mark.parametrize("name", sorted(mm._PACKAGES))
@pytest.mark.parametrize("first", ["import mm.{0}", "from mm.{0} import __name__ as one", "import {1}", "import mm"])
def test_it_is_callable_whatever_came_first(name, first, tmp_path):
    """A script may import a module of the package before it uses the function, or after."""
    code = f"{first.format(name, mm._PUBLIC[name])}; import mm; print(callable(mm.{name}), mm.{name}.__name__)"
    assert run_python("-c", code, cwd=tmp_path).stdout.split() == ["True", f"mm.{name}"]
