"""Everything that knows Label Studio: its JSON, its REST interface."""
