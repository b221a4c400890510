"""The functions of scipy.special that are loaded without their package."""

import subprocess
import sys

import pytest

NAMES = ["chdtrc", "fdtrc", "kolmogorov", "stdtrit", "gammaincc", "gammaincinv", "gammaln", "pdtrik", "xlogy"]
OURS, THEIRS = "import mm.base.special as ours", "import scipy.special as theirs"


@pytest.mark.parametrize("imports", [(OURS, THEIRS), (THEIRS, OURS)])
def test_functions_are_those_of_scipy_in_either_order_of_imports(imports):
    """The package is whole when it is imported afterwards, with its submodules and what else builds on it."""
    check = f"assert all(getattr(ours, name) is getattr(theirs, name) for name in {NAMES})"
    also = "import scipy.stats; assert abs(scipy.stats.t.ppf(0.975, 5) - ours.stdtrit(5, 0.975)) < 1e-12"
    subprocess.run([sys.executable, "-c", "\n".join([*imports, check, also])], check=True)


def test_package_itself_is_not_loaded():
    """It would take a short command a tenth of its time."""
    absent = "import sys; assert not {'scipy.special', 'numpy.f2py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{OURS}\n{absent}"], check=True)
