"""Encoders: region and text features, by CLIP. A component a file, found by `ris_core.profiles.catalog`."""
