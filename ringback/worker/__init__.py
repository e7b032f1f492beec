"""What a worker does otherwise than Celery's own, chosen in ``celeryconfig.py``. It needs nothing of ``ringback``."""
