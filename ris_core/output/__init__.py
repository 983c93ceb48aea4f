"""Writing results for people and programs; text of others stays text."""
