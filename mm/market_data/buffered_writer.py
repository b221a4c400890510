"""Alias of `mm.dayfolder.buffered_writer`, the writers of growing files."""

from mm.dayfolder.buffered_writer import CsvWriter, NdjsonWriter, flush_together
from mm.dayfolder.line_files import gzip_member

__all__ = ["CsvWriter", "NdjsonWriter", "flush_together", "gzip_member"]
