"""`python -m backend` is `ris`, for where the script is not on PATH."""

from backend.commands.cli import main

if __name__ == "__main__":
    main()
