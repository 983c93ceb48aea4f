"""Quality review: what was decided about each region, and what follows from it. State and queries, no pages."""
