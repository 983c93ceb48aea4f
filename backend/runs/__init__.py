"""Bulk runs: expressions asked of a whole project; each task is answered once and written to Label Studio once."""
