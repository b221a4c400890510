"""Re-exports `mm.tape.load.load_day`, which reads a day folder as a tape."""

from mm.tape.load import load_day

__all__ = ["load_day"]
