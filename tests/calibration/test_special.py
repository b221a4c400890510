"""scipy.special without what it would import around its compiled functions."""

import pytest

from support import ROOT, run_python

ALONE = """
import sys
import mm.calibration.special as found
assert not {"scipy.special", "scipy.special._basic", "numpy.f2py"} & set(sys.modules)
assert abs(found.gammaln(5.0) - 3.1780538303479458) < 1e-12
"""
NAMES = "chdtrc fdtrc gammaincinv gammaln kolmogorov pdtr pdtrik stdtrit xlogy"
SAME = f"""
import scipy.special, scipy.stats
import mm.calibration.special as found
assert scipy.special.comb(5, 2) == 10
for name in "{NAMES}".split():
    assert getattr(found, name) is getattr(scipy.special, name), name
"""


@pytest.mark.parametrize("program", [ALONE, ALONE + SAME, SAME])
def test_what_fits_do_not_need_is_not_imported_and_still_there(program):
    """Whoever imports the package afterwards, or has before, gets all of it, with the very same functions."""
    done = run_python("-c", program, cwd=ROOT)
    assert done.returncode == 0, done.stderr
