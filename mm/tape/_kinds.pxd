# Event kinds of a tape; the numbers are those in ``columns.py``.
cdef enum:
    SNAPSHOT = 1
    DEPTH = 2
    TRADE = 3
    GAP = 4
    KEYFRAME = 5
