"""What a worker does for one request: from an image and what is asked to an answer. No HTTP, no Redis."""
