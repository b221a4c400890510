"""The functions of ``scipy.special`` that fits need, without the package around them.

Its import, mostly of what arrays of other libraries need, takes several times as long. Until its compiled functions are
there, a module that runs nothing stands in its place; whoever imports the package later gets all of it.
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
