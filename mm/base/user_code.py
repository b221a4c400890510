"""A user's modules."""

import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType

from mm.base.knobs import closest
from mm.errors import MMError, ModelError, SafetyError, UnknownModel, UsageError, parameter

KERNEL = "mm."  # prefix of the names of our compiled functions
NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
"""The name of a user's class, ``package.module:Class``; 12:30 and a URL are none."""

FIRST_ON_PATH = "MM_SOURCE"
"""Variable that a reproduction sets for its own process: the folder of the modules that the run kept."""

USER_ERRORS = (Exception, SystemExit)
"""What a user's code may raise when it is imported or called: an exit of its own is no result of the command."""


def load_class(name: str, kind: str) -> object:
    """Return the class that ``package.module:Class`` names; raises UnknownModel or ModelError."""
    module_name, _, attribute = name.partition(":")
    if "/" in module_name or module_name.endswith(".py"):  # Python would import a path from a zip file
        way = "give package.module:Class, with dots and without .py"
        raise UnknownModel(f"{kind} {name!r}: {module_name!r} is a path; {way}")
    if not NAME.fullmatch(name):
        raise UnknownModel(f"{kind} {name!r}: this is no name of a class; give package.module:Class")
    put_cwd_first()
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            needed = f"{kind} {name!r}: {module_name} needs {error.name}, which is not installed"
            raise ModelError(needed, place_of(error)) from error
        source = f"{module_name.replace('.', '/')}.pyx"
        way = f"; {source} is not compiled: cythonize -i -3 {source}" if os.path.exists(source) else ""
        raise UnknownModel(
            f"{kind} {name!r}: there is no module {error.name!r} in {os.getcwd()} or on the Python path{way}"
        ) from error
    except USER_ERRORS as error:
        raise ModelError(
            f"{kind} {name!r}: importing {module_name} raised {one_line(error)}", place_of(error)
        ) from error
    value: object = getattr(module, attribute, None)
    if value is None:
        names = [known for known in vars(module) if not known.startswith("_")]
        raise UnknownModel(f"{kind} {name!r}: {module.__file__} has no class {attribute!r}{closest(attribute, names)}")
    return value


def refuse_code_of(file: object, names: Iterable[str]) -> None:
    """Raise SafetyError for user classes whose modules are not imported yet."""
    foreign = [name for name in names if NAME.fullmatch(name) and name.partition(":")[0] not in sys.modules]
    if foreign:
        raise SafetyError(
            "{} names code, {}, which was not run, as a file may come from anyone; review it, and give its file as "
            "{trust}, or import it in your model's file",
            file,
            ", ".join(foreign),
        )


def import_trusted(paths: Iterable[str | Path]) -> None:
    """Import modules by name from the current folder; UsageError or ModelError."""
    for path in paths:
        place = Path(os.path.relpath(path)).with_suffix("")
        name = ".".join(place.parts)
        if Path(path).suffix != ".py" or not Path(path).is_file() or not all(map(str.isidentifier, place.parts)):
            raise UsageError("{trust} {!r}: not the .py file of a module below {}", str(path), os.getcwd())
        put_cwd_first()
        try:
            import_module(name)
        except USER_ERRORS as error:
            said = f"{parameter('trust')} {path}: importing {name} raised {one_line(error)}"
            raise ModelError(said, place_of(error)) from error


@contextmanager
def modules_of(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Load a folder's modules, which have these names in this process only within the block."""
    wanted = sorted(names)
    packages = {name.partition(".")[0] for name in wanted}
    hidden = _forget(packages)
    sys.path.insert(0, str(folder))
    invalidate_caches()  # of the finders, which may have looked into the folder before it was filled
    try:
        for name in wanted:
            import_module(name)
        yield
    finally:
        sys.path.remove(str(folder))
        _forget(packages)
        sys.modules.update(hidden)


def _forget(packages: Collection[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in packages}


def put_cwd_first() -> None:
    kept = os.environ.get(FIRST_ON_PATH)  # noqa: TID251 - as PYTHONPATH, it says where Python finds modules
    wanted = [kept, os.getcwd()] if kept else [os.getcwd()]
    if sys.path[: len(wanted)] != wanted:
        sys.path[:0] = wanted


def one_line(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = " ".join(str(error).split())
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        text += closest(error.name, [name for name in dir(error.obj) if not name.startswith("_")])
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def require_plain(hook: object, place: str) -> None:
    """Raise UsageError for a hook with ``async`` or ``yield``, whose call would only begin it."""
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
        word = "yield" if inspect.isgeneratorfunction(hook) else "async"
        line = place_of_code(hook)
        raise UsageError(f"{f'{line}: ' if line else ''}{place} has {word}, so a call does not run it; leave it out")


class CallStopped(BaseException):
    """Raised inside a slow call of a user's model; its `except Exception` does not catch it."""


def raised(model: object, hook: str, error: BaseException) -> ModelError:
    where = place_of(error) or place_of_code(getattr(model, hook, None))
    return ModelError(f"{type(model).__name__}.{hook} raised {one_line(error)}", where)


def placed(error: ModelError, code: object) -> ModelError:
    where = "" if error.where else place_of(error) or place_of_code(code)
    return ModelError(str(error), where) if where else error


def place_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename and not _is_library(error.filename):
        return f"{shown_path(error.filename)}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.name.startswith(KERNEL)]
    own = [frame for frame in frames if not _is_library(frame.filename)]
    return f"{shown_path(own[-1].filename)}:{own[-1].lineno}" if own else ""


def place_of_code(code: object) -> str:
    if isinstance(code, type):
        return _place_of_class(code)
    python_code = getattr(getattr(code, "__func__", code), "__code__", None)
    if python_code is None or _is_library(python_code.co_filename):
        return ""
    return f"{shown_path(python_code.co_filename)}:{python_code.co_firstlineno}"


def _place_of_class(cls: type) -> str:
    try:
        path, (_, line) = inspect.getfile(cls), inspect.getsourcelines(cls)
    except (OSError, TypeError):  # compiled, or its file is gone
        return ""
    return "" if _is_library(path) else f"{shown_path(path)}:{line}"


def shown_path(path: str) -> str:
    return os.path.relpath(path) if Path(path).is_relative_to(os.getcwd()) else path


_PACKAGE = str(Path(__file__).parent.parent)
_LIBRARIES = tuple(
    f"{folder}{os.sep}" for folder in {_PACKAGE, *map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))}
)


def _is_library(path: str) -> bool:
    return path.startswith((*_LIBRARIES, "<frozen ", "mm/"))


class _NamedHooks:
    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, MMError):
            named = _raised_inside(error)
            if named is not None:
                raise named from error


named_hooks = _NamedHooks()
"""The context of a kernel that calls models: what a user's model raises becomes a ModelError with the hook's name."""


def _raised_inside(error: Exception) -> ModelError | None:
    """Name the raising hook of a user's compiled model; None if none raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = max((place for place, frame in enumerate(frames) if frame.name.startswith(KERNEL)), default=len(frames))
    if ours + 1 < len(frames):
        hook, last = frames[ours + 1].name, frames[-1]
        return ModelError(f"{hook} raised {one_line(error)}", f"{shown_path(last.filename)}:{last.lineno}")
    if isinstance(error, SystemError):
        return ModelError("a compiled model returned -1 without raising; hooks must return 0 or more")
    return None
