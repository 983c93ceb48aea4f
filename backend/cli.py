"""The old place of `backend.commands.cli`, which `ris` scripts of version 0.1 import. Goes with 0.3."""

from backend.commands.cli import main

__all__ = ["main"]
