"""Tables of whole numbers whose columns have names.

A table is declared once, as a class: its columns in the order of memory, each with its kind, its meaning, when it is
null, and its name in the file. A column is a property of the table, so a misspelt one is an error of mypy.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import numpy as np

from mm.base.arrays import Ints, Mask, Rows


@dataclass(frozen=True, slots=True)
class Kind:
    """What the numbers of a column are.

    Attributes:
        unit: In memory.
        shown: In the file.
        names: The words of codes, of which the first has the code *first*; None for those of the run.
    """

    unit: str
    shown: str
    names: tuple[str, ...] | None = None
    first: int = 0


class Column:
    """A column of a table, and of its file.

    Attributes:
        file: Its name in the file; empty if it stands there in no column of its own.
        frame: Its name in a frame for users (`Result.fills_frame`); empty if it is in none.
    """

    name: str
    index: int

    def __init__(self, kind: Kind, meaning: str, *, null: str = "", file: str = "", frame: str = "") -> None:
        self.kind, self.meaning, self.null, self.file, self.frame = kind, meaning, null, file, frame

    def __set_name__(self, table: type["Table"], name: str) -> None:
        self.name = name

    @property
    def of(self) -> tuple["Column", ...]:
        """The columns that the file's column is computed from."""
        return (self,)

    def of_table(self, table: "Table") -> Ints:
        """Return the column of a table, a view."""
        return table.array[:, self.index]

    @overload
    def __get__(self, table: None, owner: type["Table"]) -> Self: ...
    @overload
    def __get__(self, table: "Table", owner: type["Table"]) -> Ints: ...
    def __get__(self, table: "Table | None", owner: type["Table"]) -> Self | Ints:
        return self if table is None else self.of_table(table)

    def __set__(self, table: "Table", values: Any) -> None:
        self.of_table(table)[:] = values


class Written:
    """A column that only the file has, computed from columns of the table.

    Attributes:
        file: Its name in the file; default: the one that it is declared by.
    """

    def __init__(self, kind: Kind, meaning: str, *of: Column, null: str = "", file: str = "") -> None:
        self.kind, self.meaning, self.of, self.null, self.file = kind, meaning, of, null, file

    def __set_name__(self, table: type["Table"], name: str) -> None:
        self.file = self.file or name


class Table(np.ndarray[Any, np.dtype[np.int64]]):
    """int64[n, width]: an array as any other, with a property for each column.

    Rows chosen by a slice, a mask or places are a table; a row, a column, a transpose, and what is computed from a
    table are plain arrays. For mypy rows are all that can be chosen by number: columns have names.

    Attributes:
        columns: Those in memory, in order.
        written: Those of the file, in order.
    """

    columns: ClassVar[tuple[Column, ...]]
    written: ClassVar[tuple[Column | Written, ...]]

    def __init_subclass__(cls) -> None:
        declared = [one for one in vars(cls).values() if isinstance(one, Column | Written)]
        cls.columns = tuple(one for one in declared if isinstance(one, Column))
        for index, column in enumerate(cls.columns):
            column.index = index
        cls.written = tuple(one for one in declared if one.file)

    def __new__(cls, rows: Any = ()) -> Self:
        """Return a view of *rows*, or an empty table.

        Raises:
            ValueError: If they have another number of columns.
        """
        array = np.asarray(rows, np.int64)
        if not array.size:
            array = array.reshape(0, cls.width())
        if array.ndim != 2 or array.shape[1] != cls.width():
            raise ValueError(f"{cls.__name__}: an array of shape {array.shape}; {cls.width()} columns expected")
        return array.view(cls)

    @classmethod
    def width(cls) -> int:
        """Return the number of columns."""
        return len(cls.columns)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(column.name for column in cls.columns)

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Return so many rows of zeros."""
        return cls(np.zeros((rows, cls.width()), np.int64))

    @property
    def array(self) -> Ints:
        """The same memory without names."""
        return np.asarray(self)

    if TYPE_CHECKING:  # narrower than an array's, on purpose: numbers of columns are for the declaration and kernels

        def __getitem__(self, rows: slice | Rows | Ints | Mask) -> Self: ...  # type: ignore[override]
        def __setitem__(self, rows: slice | Rows | Ints | Mask, to: "Table") -> None: ...  # type: ignore[override]

        __iter__: None  # type: ignore[assignment]
        T: None  # type: ignore[assignment]
        tolist: None  # type: ignore[assignment]

    else:

        def __getitem__(self, at):
            found = self.array[at]
            rows = not isinstance(at, tuple) and isinstance(found, np.ndarray) and found.ndim == 2
            return found.view(type(self)) if rows else found

        def __iter__(self):
            return iter(self.array)

        @property
        def T(self):
            return self.array.T

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute with plain arrays: a sum has no columns."""
        if out := options.get("out"):
            options["out"] = tuple(map(_plain, out))
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Hand out what numpy's functions compute from a table as plain arrays."""
        return array[()] if return_scalar else array


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, Table) else value
