"""Ids of the jobs that make workers go on with a run. They stay in Redis while an upgrade restarts workers: the format stays the same."""


def make_job_id(run_id: str, slot: int) -> str:
    """The id of one of a run's jobs: "run-<id of the run>-<slot>". Slots count from 0, so a job that waits is not queued again."""
    return f"run-{run_id}-{slot}"


def read_run_id(job_id: str) -> str:
    """The id of the run that a job is for."""
    return job_id.split("-")[1]
