"""Everything that knows Label Studio: its JSON, its REST interface, its SDK's base class."""
