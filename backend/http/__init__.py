"""The HTTP app. It never does the work itself."""
