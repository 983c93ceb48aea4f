"""Redis: the queue of jobs, and a private server where none is given."""
