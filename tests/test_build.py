"""The kernels: all listed in pyproject.toml, and all compiled where research runs."""

import tomllib
from importlib import import_module

import pytest

from support import ROOT

LISTED = {
    module["name"]: module
    for module in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
}
KERNELS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted((ROOT / "mm").rglob("*.pyx"))
}


def test_every_kernel_is_listed() -> None:
    """A kernel that is not listed is missing from every installation but its author's."""
    assert set(LISTED) == set(KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_optional_and_compiled_here(name: str) -> None:
    """The recorder box does without; a silent failure to compile must not pass here."""
    assert LISTED[name]["optional"]
    assert LISTED[name]["sources"] == [str(KERNELS[name].relative_to(ROOT))]
    assert import_module(name).__file__.endswith((".so", ".pyd"))
