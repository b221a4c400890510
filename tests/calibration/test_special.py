"""mm.calibration.special: compiled functions of scipy.special without its heavy imports."""

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


@pytest.mark.slow
@pytest.mark.parametrize("program", [ALONE, ALONE + SAME, SAME])
def test_special_avoids_scipy_import_and_has_same_functions(program):
    """Importing scipy.special before or after gives the complete package with identical functions."""
    result = run_python("-c", program, cwd=ROOT)
    assert result.returncode == 0, result.stderr
