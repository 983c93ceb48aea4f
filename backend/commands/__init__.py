"""The commands of `ris`; `backend.commands.cli` collects them."""
