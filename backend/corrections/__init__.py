"""What annotators changed: from raw events to outcomes."""
