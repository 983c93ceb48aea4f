"""Components, one a file; see `ris_core.catalog`."""
