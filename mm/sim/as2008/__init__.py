"""The experiment of Avellaneda and Stoikov (2008), section 3.3: published, exact and simulated."""
