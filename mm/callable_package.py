"""``mm.backtest``, ``mm.sweep``, ``mm.trials`` and ``mm.walkforward``: callable packages, in any order of imports."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import mm
from mm.errors import ModelError


class CallablePackage(ModuleType):
    """A package that calls the public function of its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; of an error in a user's model only its line is shown."""
        try:
            return self.__wrapped__(*args, **kwargs)
        except ModelError as error:
            raise error.alone() from None

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        name = self.__name__.rpartition(".")[2]
        return vars(import_module(mm._PUBLIC[name]))[name]  # type: ignore[no-any-return]

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__wrapped__.__doc__


def make_callable(package: str) -> None:
    sys.modules[package].__class__ = CallablePackage
