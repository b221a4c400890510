"""`mm.load_day`: the tape's own, with errors that name its arguments."""

from mm.base.knobs import as_arguments
from mm.play.knobs import Day, Market
from mm.tape.load import load_day as load

_NAMES = {name: f"{name}_e8" for name in ("tick_size", "qty_step", "min_notional")}

load_day = as_arguments((Day, Market), _NAMES)(load)
