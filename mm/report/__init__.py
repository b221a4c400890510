"""All pages of the project: drawing functions, and one module per kind of run."""
