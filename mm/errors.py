"""All errors that the project raises on purpose, as one tree, with their exit codes (docs/lookup/configuration.md).

A message contains the problem, the value, the place and the remedy; the command line prints it as one line.

::

    MMError                     1
    ├── ModelError              1
    ├── Incomplete              *   of the first failure
    ├── UsageError              2
    │   ├── UnknownModel        2
    │   ├── RunExists           2
    │   └── MissingExtra        2
    ├── DataError               3
    │   ├── MissingDay          3
    │   ├── MissingOrders       3
    │   ├── BrokenFile          3
    │   ├── OffGrid             3
    │   ├── NeverSynced         3
    │   └── Mismatch            3
    ├── FitError                4
    ├── SafetyError             5
    └── TryLater               75

A message about a parameter is a `Sentence`, which names it as its reader gave it: as a flag and a variable on the
command line, as an argument in Python.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from string import Formatter
from typing import Any

SAID: ContextVar[Callable[[str], str]] = ContextVar("SAID", default=str)
"""How the edge names a parameter: by default as the argument of Python, which is the parameter's own name."""


class Sentence:
    """A sentence that carries its parameters and values: ``Sentence("{tick_size} is {}; it must divide {}", 3, 2)``.

    ``{name}`` is a parameter, which `str` names as `SAID` does; ``{}`` is the next value, with a format as in
    `str.format`.
    """

    __slots__ = ("template", "values")

    def __init__(self, template: str, *values: Any) -> None:
        self.template = template
        self.values = values

    @property
    def parameters(self) -> tuple[str, ...]:
        fields = (field for _, field, _, _ in Formatter().parse(self.template))
        return tuple(field for field in fields if field)

    def __str__(self) -> str:
        return Formatter().vformat(self.template, self.values, _Said())

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        return repr(str(self))


def parameter(name: str) -> Sentence:
    return Sentence(f"{{{name}}}")


@contextmanager
def said_by(say: Callable[[str], str]) -> Iterator[None]:
    """Let *say* name the parameters of the errors that are raised inside."""
    token = SAID.set(say)
    try:
        yield
    except MMError as error:
        error.args = (str(error),)
        raise
    finally:
        SAID.reset(token)


class _Said(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return SAID.get()(name)


class MMError(Exception):
    """Base of all errors raised on purpose; *exit_code* is the exit code of the command.

    Values after the message fill it in, as in a `Sentence`.
    """

    exit_code = 1

    def __str__(self) -> str:
        return str(Sentence(*self.args)) if len(self.args) > 1 else super().__str__()


class ModelError(MMError):
    """A user's model raised, or returned an invalid value.

    *where* is file and line of the user's code; *original* is what the model raised.
    """

    def __init__(self, message: "Sentence | str", where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.original: BaseException | None = None

    def alone(self) -> "ModelError":
        """Drop our frames, which tell the model's author nothing."""
        self.original = self.original or self.__cause__
        self.__traceback__ = self.__cause__ = None
        return self


class Incomplete(MMError):
    """The other parts are written; the exit code is the first failed part's."""

    def __init__(self, message: "Sentence | str", exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(MMError):
    """A knob has a value that cannot be used."""

    exit_code = 2


class UnknownModel(UsageError):
    """No model, method or command has that name."""


class RunExists(UsageError):
    """The run folder, or the RUN_ID, was used before."""


class MissingExtra(UsageError):
    """A command needs an optional package that is not installed."""


class DataError(MMError):
    """A file is missing, broken, or does not match the others."""

    exit_code = 3


class MissingDay(DataError):
    """There is no day folder where one was expected."""


class MissingOrders(DataError):
    """A day has no order log."""


class BrokenFile(DataError):
    """A file does not have the format that its name implies."""


class OffGrid(DataError):
    """A price or a quantity is not a whole multiple of its step."""


class NeverSynced(DataError):
    """A day never has a valid book."""


class Mismatch(DataError):
    """Two inputs belong to different symbols, tick sizes or days."""


class FitError(MMError):
    """A usable fit is needed, but the fit is not usable."""

    exit_code = 4


class SafetyError(MMError):
    """A safety rule refused the operation."""

    exit_code = 5


class TryLater(MMError):
    """The work cannot be done now, but may be later."""

    exit_code = 75
