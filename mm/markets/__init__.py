"""Markets: what an exchange sends, the rule of its ids, and the book that follows from it."""
