"""HTML pages: what annotators changed, and how a profile does on one's own images."""
