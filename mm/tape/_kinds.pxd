# The kinds of a tape's events; ``tape.py`` has the same numbers.
cdef enum:
    SNAPSHOT = 1
    DEPTH = 2
    TRADE = 3
    GAP = 4
    KEYFRAME = 5
