"""Signals: values at each change of the book, each with a declaration and a compiled kernel."""
