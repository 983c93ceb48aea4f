"""Proposers: class-agnostic mask proposals, and masks of clicks and boxes. A component a file, found by `ris_core.profiles.catalog`."""
