"""Compare Ringback with other ways to answer a request with a task's result: ``make bench``."""
