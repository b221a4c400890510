# Whether a user's model has kept what it was shown for the time of a call.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* object)

cdef inline bint is_kept(PyObject* view) noexcept:
    """Return whether somebody beside its owner holds a view."""
    return Py_REFCNT(view) > 1
