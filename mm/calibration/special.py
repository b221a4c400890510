"""The functions of ``scipy.special`` that fits need, imported in two thirds of the time.

scipy copies the namespace of numpy when it is imported, and so would import ``numpy.f2py``, a third of its own time,
which nothing here uses. A name in its place keeps it out until the copy is made.
"""

import numpy as np

if "f2py" not in vars(np):
    vars(np)["f2py"] = None
    try:
        import scipy.special  # noqa: F401 - for its copy
    finally:
        del vars(np)["f2py"]

from scipy.special import chdtrc, fdtrc, gammaincinv, gammaln, kolmogorov, pdtr, pdtrik, stdtrit, xlogy

__all__ = ["chdtrc", "fdtrc", "gammaincinv", "gammaln", "kolmogorov", "pdtr", "pdtrik", "stdtrit", "xlogy"]
