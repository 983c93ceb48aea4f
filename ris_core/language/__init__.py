"""From what somebody typed to what it asks for."""
