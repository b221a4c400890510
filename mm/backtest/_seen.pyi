# Functions for the engine alone; nothing of it is seen from Python.
