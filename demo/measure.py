"""How good the demo models are, on scenes they never saw: `python -m demo.measure` is `ris eval` with the profile `demo`."""

import os
import sys

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-m", "backend", "eval", "--profile", "demo", *sys.argv[1:]])
