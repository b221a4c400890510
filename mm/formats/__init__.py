"""Third-party file formats: import to day folders, and export of day folders."""
