"""Commands of `ris`, one module each; `backend.cli` registers them."""
