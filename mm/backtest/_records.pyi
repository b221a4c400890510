"""The kernel's side of the journal: no Python face; the engine hands the tables over."""
