"""The writers of growing files, whose place is `mm.dayfolder.buffered_writer`."""

from mm.dayfolder.buffered_writer import CsvWriter, NdjsonWriter, flush_together
from mm.dayfolder.line_files import gzip_member

__all__ = ["CsvWriter", "NdjsonWriter", "flush_together", "gzip_member"]
