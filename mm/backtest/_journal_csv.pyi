from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

ORDER_FILE: tuple[str, ...]
FILL_FILE: tuple[str, ...]
STATE_FILE: tuple[str, ...]

def places_of(unit: int, places: int) -> tuple[int, int]: ...
def write_orders(file: BinaryIO, orders: NDArray[np.int64], tick_e8: int, lot_e8: int) -> None: ...
def write_fills(
    file: BinaryIO, fills: NDArray[np.int64], tick_e8: int, lot_e8: int, reasons: Sequence[str]
) -> None: ...
def write_state(file: BinaryIO, state: NDArray[np.int64], tick_e8: int, lot_e8: int, start_cash_e8: int) -> None: ...
