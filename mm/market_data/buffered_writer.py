"""Rows that are written together, implemented in `mm.dayfolder.buffered_writer`."""

from mm.dayfolder.buffered_writer import CsvWriter, NdjsonWriter

__all__ = ["CsvWriter", "NdjsonWriter"]
