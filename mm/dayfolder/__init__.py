"""Day folders: the file contract, its reader and writer, check, coverage and repair."""
