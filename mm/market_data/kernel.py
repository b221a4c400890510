"""Whether levels are compiled: they are where a compiler was there at installation, and plain Python everywhere else.

This is the one place that chooses. Both leave the same bytes; `levels` set to None, before a session or a book is made,
selects plain Python.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any

levels: Any = None
"""The module `_levels`; None where it was not compiled."""

with suppress(ImportError):
    levels = import_module("mm.market_data._levels")
