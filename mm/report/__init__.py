"""Every page of the project: what it is drawn with, and a module for each kind of run."""
