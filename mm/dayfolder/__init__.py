"""Day folders: the file contract, its reader and writer, and what uses them: check, coverage, repair."""
