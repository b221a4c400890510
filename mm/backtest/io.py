"""From a day folder to a tape: a door to `mm.tape.load`."""

from mm.tape.load import load_day

__all__ = ["load_day"]
