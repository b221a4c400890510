"""Folders that are functions, too: ``mm.backtest(tape, …)``, ``mm.sweep(…)`` and ``mm.walkforward(tape, …)``.

The function and the folder of its modules have one name in the project's face. A module can be called where
its class says how, so both are the same object, whatever was imported first.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is that of the function of its name in the module ``_CALL``."""

    _CALL: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; its own documentation says how."""
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(self._CALL), name)(*args, **kwargs)


def make_callable(package: str) -> None:
    """Make *package*, which names its function's module in ``_CALL``, callable."""
    sys.modules[package].__class__ = CallablePackage
