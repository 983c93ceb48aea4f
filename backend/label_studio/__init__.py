"""Everything that knows Label Studio: its JSON, its REST interface, its label configs, and what annotators read in it."""
