"""The ladder's task, beside those of ``tasks.py``; the worker and the designs that call the task import this."""

import time

from celery.signals import worker_ready

from benchmarks import ready
from tasks import app

__all__ = ["app", "job"]

worker_ready.connect(ready.say)


@app.task(name="short_job")
def job(job_id: int) -> dict[str, int]:
    """Take 100 ms for a job."""
    time.sleep(0.1)
    return {"job_id": job_id}
