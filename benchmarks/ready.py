"""What a worker prints once it takes tasks, whatever its log level is. Imports no Celery, which arq does not have."""

READY = "takes tasks"


def say(**_: object) -> None:
    """Print it; a receiver of Celery's signal ``worker_ready``."""
    print(READY, flush=True)
