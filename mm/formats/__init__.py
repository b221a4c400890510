"""Files of others: what they hold becomes day folders, and day folders become such files."""
