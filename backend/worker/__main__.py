"""`python -m backend.worker` is one worker: what `ris worker` runs."""

from backend.worker.worker import main

if __name__ == "__main__":
    main()
