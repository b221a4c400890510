# Detects views that a user's model kept after a call.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* object)

cdef inline bint is_kept(PyObject* view) noexcept:
    """Whether a view has further references besides its owner's."""
    return Py_REFCNT(view) > 1
