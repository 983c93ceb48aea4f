"""`ris`, also as `python -m backend`."""

import sys

from backend.base.errors import missing_package


def main() -> None:
    """Run the command line; says what to install where the packages of the extra `backend` are missing."""
    try:
        from backend.commands.cli import main as run  # here: the core alone may be installed, without typer
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        print(f"ris: {missing}", file=sys.stderr)
        sys.exit(missing.exit_code)
    run()


if __name__ == "__main__":
    main()
