"""The ladder's task, beside those of ``tasks.py``; the worker and the designs that call the task import this."""

import time

from tasks import app

__all__ = ["app", "job"]


@app.task(name="short_job")
def job(job_id: int) -> dict[str, int]:
    """Take 100 ms for a job."""
    time.sleep(0.1)
    return {"job_id": job_id}
