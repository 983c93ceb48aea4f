"""Data sets from corrections, one format a file."""
