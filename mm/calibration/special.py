"""The functions of ``scipy.special`` that fits need, loaded without the rest of the package.

The full import takes several times as long, mostly for the support of other array libraries. While the compiled
functions are loaded, an empty module replaces the package; a later import of the package loads all of it.
"""

import sys
from importlib import import_module, util

_found = sys.modules.get("scipy.special")
if _found is None:
    sys.modules["scipy.special"] = util.module_from_spec(util.find_spec("scipy.special"))  # type: ignore[arg-type]
    try:
        _found = import_module("scipy.special._ufuncs")
    finally:
        del sys.modules["scipy.special"]

chdtrc, fdtrc, stdtrit, pdtr, pdtrik = _found.chdtrc, _found.fdtrc, _found.stdtrit, _found.pdtr, _found.pdtrik
gammaincinv, gammaln, kolmogorov, xlogy = _found.gammaincinv, _found.gammaln, _found.kolmogorov, _found.xlogy
