"""scipy.special without what it would import for a copy of numpy's names."""

from support import ROOT, run_python

LOADED = """
import sys
import mm.calibration.special as found
import numpy as np
assert "numpy.f2py" not in sys.modules
assert "f2py" not in vars(np)
assert abs(found.gammaln(5.0) - np.log(24)) < 1e-12
import scipy.special
assert found.stdtrit is scipy.special.stdtrit
assert np.f2py is sys.modules["numpy.f2py"]
"""


def test_what_fits_do_not_need_is_not_imported_and_still_there():
    """``numpy.f2py`` takes a third of the import of scipy.special; who wants it gets it."""
    done = run_python("-c", LOADED, cwd=ROOT)
    assert done.returncode == 0, done.stderr
