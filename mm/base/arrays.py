"""Types of arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.intp]
"""Indices of rows."""
Mask = NDArray[np.bool_]
Numbers = NDArray[Any]
"""int64, float64, or Python integers where 64 bits are too few."""
