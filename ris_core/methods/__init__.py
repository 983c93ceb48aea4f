"""Methods: scores of the proposals for an expression, in numpy. A component a file, found by `ris_core.profiles.catalog`."""
