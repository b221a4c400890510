"""`mm.load_day`: the tape's, with errors that name its arguments."""

from mm.errors import said_by
from mm.tape.load import load_day as load

_IN_E8 = ("tick_size", "qty_step", "min_notional")

load_day = said_by(lambda name: f"{name}_e8" if name in _IN_E8 else name)(load)
