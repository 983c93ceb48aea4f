"""Components, one a file; see `ris_core.profiles.catalog`."""
