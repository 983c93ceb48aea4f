"""What annotators changed: from raw events to the outcome of each region."""
