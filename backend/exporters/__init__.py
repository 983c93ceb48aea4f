"""Data sets from the ledger, one format a file."""
