"""The worker process: RQ worker, the functions that jobs name, and the objects that they use."""
