"""Commands of `ris`, one module each; `backend.commands.cli` registers them."""
