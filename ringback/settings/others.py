"""The variables that are not settings of the gateway: of its command line, the template and its worker. Pure data."""

#: The variables that are not in ``Settings``: each with its default, and what it means.
OTHER_VARIABLES = {
    "BROKER_URL": (
        "`memory://localhost/`",
        "The broker, or the nodes of a cluster: `amqp://…;amqp://…`, or Redis: `redis://…` ([redis.md](redis.md))."
        " Without one, broker and worker live in the web process.",
    ),
    "CLOUDAMQP_URL": ("", "As `BROKER_URL`, which wins; Heroku's add-on sets it."),
    "CELERY_BROKER_URL": ("", "As `BROKER_URL`, and wins, as Celery has it; so does `CELERY_RESULT_BACKEND`."),
    "RESULT_BACKEND": ("`rpc://`", "How results come back: `rpc://`, or `redis://…`, as with a Redis broker."),
    "PORT": ("8888", "The TCP port, as `--port`."),
    "WEB_CONCURRENCY": ("1", "Web processes that are forked; with `REDIS_URL` they share their runs."),
    "TASK_QUEUE": ("`celery`", "The queue of tasks that are not routed elsewhere."),
    "TASK_QUEUE_TYPE": ("`classic`", "`quorum`: queues that outlive a node of a cluster."),
    "RINGBACK_ROUTES": ("", "The template's tasks with a queue of their own: `report.*:reports sleep:slow`."),
    "WORKER_QUEUES": ("the default queue", "The queues that the template's worker takes from."),
    "WORKER_CONCURRENCY": ("500", "Tasks at once in the template's worker."),
    "TASK_TIME_LIMIT": ("300", "Seconds after which the template's worker ends a task."),
    "DATABASE_URL": ("`sqlite:///examples.sqlite3`", "The database of the examples."),
}
