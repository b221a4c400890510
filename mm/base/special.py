"""Functions of ``scipy.special`` that statistics need, without the rest of the package."""

import sys
from importlib import import_module, util

_found = sys.modules.get("scipy.special")
if _found is None and (_spec := util.find_spec("scipy.special")) is not None:
    sys.modules["scipy.special"] = util.module_from_spec(_spec)
    try:
        _found = import_module("scipy.special._ufuncs")
    except ImportError:  # a release of scipy that keeps them elsewhere
        pass
    finally:
        del sys.modules["scipy.special"]
if _found is None:
    _found = import_module("scipy.special")

chdtrc, fdtrc, kolmogorov = _found.chdtrc, _found.fdtrc, _found.kolmogorov
stdtr, stdtrit = _found.stdtr, _found.stdtrit
gammaincc, gammaincinv, gammaln = _found.gammaincc, _found.gammaincinv, _found.gammaln
pdtrik, xlogy = _found.pdtrik, _found.xlogy
