"""What annotators changed, as a page for people."""
