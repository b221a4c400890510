"""A user's modules: ``package.module:Class`` from the current folder or the Python path."""

import os
import sys
import traceback
from importlib import import_module

from mm.base.knobs import closest
from mm.errors import ModelError, UnknownModel

KERNEL = "mm."  # prefix of the names of our compiled functions


def load_class(name: str, kind: str) -> object:
    """Return the class that ``package.module:Class`` names, without calling it.

    Raises:
        UnknownModel: If there is no such module, or the module has no such class.
        ModelError: If the import of the module raises, or it needs a package that is not installed.
    """
    module_name, _, attribute = name.partition(":")
    if "/" in module_name or module_name.endswith(".py"):  # Python would import a path from a zip file
        way = "give package.module:Class, with dots and without .py"
        raise UnknownModel(f"{kind} {name!r}: {module_name!r} is a path; {way}")
    put_cwd_first()
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(f"{kind} {name!r}: {module_name} needs {error.name}, which is not installed") from error
        source = f"{module_name.replace('.', '/')}.pyx"
        way = f"; {source} is not compiled: cythonize -i -3 {source}" if os.path.exists(source) else ""
        raise UnknownModel(
            f"{kind} {name!r}: there is no module {error.name!r} in {os.getcwd()} or on the Python path{way}"
        ) from error
    except Exception as error:
        raise ModelError(f"{kind} {name!r}: importing {module_name} raised {one_line(error)}") from error
    found: object = getattr(module, attribute, None)
    if found is None:
        names = [known for known in vars(module) if not known.startswith("_")]
        raise UnknownModel(f"{kind} {name!r}: {module.__file__} has no class {attribute!r}{closest(attribute, names)}")
    return found


def put_cwd_first() -> None:
    """Put the current folder first on the Python path."""
    if os.getcwd() not in sys.path[:1]:
        sys.path.insert(0, os.getcwd())


def one_line(error: Exception) -> str:
    """Return an error as one line: its type and its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class CallStopped(BaseException):
    """Raised inside a call of a user's model that takes too long; no `except Exception` of the model keeps it."""


def raised(model: object, hook: str, error: BaseException) -> ModelError:
    """Return an error that names the model whose *hook* raised, and the line in it that failed."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.name.startswith(KERNEL)]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return ModelError(f"{type(model).__name__}.{hook} raised {type(error).__name__}: {error}{where}")


def raised_inside(error: Exception) -> ModelError | None:
    """Return an error that names the hook of a user's compiled model that raised; None if none did."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = max((place for place, frame in enumerate(frames) if frame.name.startswith(KERNEL)), default=len(frames))
    if ours + 1 < len(frames):
        hook, last = frames[ours + 1].name, frames[-1]
        return ModelError(f"{hook} raised {type(error).__name__}: {error} at {last.filename}:{last.lineno}")
    if isinstance(error, SystemError):
        return ModelError("a compiled model returned -1 without raising; hooks must return 0 or more")
    return None
