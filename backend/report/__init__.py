"""What annotators changed, as one HTML page."""
