"""Bulk runs: what is asked of a whole project, computed once a task and written to Label Studio exactly once."""
