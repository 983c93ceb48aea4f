"""The old place of `backend.base.processes`, which supervisors of version 0.1 run as `python -m`. Goes with 0.3."""

import sys

from backend.base.processes import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
