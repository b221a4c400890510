"""The functions of ``scipy.special`` that fits need, without the package around them.

They are compiled and stand in a module of their own; what ``scipy.special`` itself does when it is imported, mostly for
arrays of other libraries, takes several times as long as loading them. The package is imported as ever where somebody
imports it later: until these functions are there, a module that runs nothing stands in its place.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

_PACKAGE = "scipy.special"


def _functions() -> Any:
    """Return what holds the functions: the package where it was imported before, else its compiled module."""
    spec = find_spec(_PACKAGE)
    if _PACKAGE in sys.modules or spec is None:
        return import_module(_PACKAGE)
    sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        return import_module(f"{_PACKAGE}._ufuncs")
    finally:
        del sys.modules[_PACKAGE]


_found = _functions()
chdtrc, fdtrc, stdtrit, pdtr, pdtrik = _found.chdtrc, _found.fdtrc, _found.stdtrit, _found.pdtr, _found.pdtrik
gammaincinv, gammaln, kolmogorov, xlogy = _found.gammaincinv, _found.gammaln, _found.kolmogorov, _found.xlogy
