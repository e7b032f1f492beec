"""The contenders on Redis, as data."""

from __future__ import annotations

from benchmarks.contenders import ENVIRONMENTS, RINGBACK, Contender, design

BOTH, RESULTS = "both", "results"  # the two groups: Redis is broker and keeps the results, or RabbitMQ is the broker

#: The workers: the Procfile's, one with Celery's defaults, arq's, and the Procfile's with RabbitMQ.
OURS, DEFAULT, ARQ, MIXED = "ours", "default", "arq", "mixed"

CONTENDERS = [
    Contender("redis-callback", "Ringback, callback", f"app.py {RINGBACK}", "relay", BOTH, ours=True, worker=OURS),
    Contender(
        "redis-by-name", "Ringback, POST /v1/tasks/test", f"app.py {RINGBACK}", "call", BOTH, ours=True, worker=OURS
    ),
    Contender("redis-then", "gevent, Celery's .then", design("then"), "relay", BOTH, worker=DEFAULT),
    Contender(
        "redis-arq",
        "FastAPI + arq",
        "-m uvicorn benchmarks.designs.fastapi_arq:app --port {port} --log-level warning --no-access-log",
        "relay",
        BOTH,
        environment="arq",
        worker=ARQ,
    ),
    Contender(
        "redis-node",
        "Node + celery-node",
        "benchmarks/designs/celery_node.js",
        "relay",
        BOTH,
        environment="celery_node",
        program="node",
        worker=DEFAULT,
        variables={"NODE_PATH": str(ENVIRONMENTS / "celery_node" / "node_modules")},
    ),
    Contender(
        "results-callback",
        "RabbitMQ: Ringback, callback",
        f"app.py {RINGBACK}",
        "relay",
        RESULTS,
        ours=True,
        worker=MIXED,
    ),
    Contender(
        "results-by-name",
        "RabbitMQ: Ringback, POST /v1/tasks/test",
        f"app.py {RINGBACK}",
        "call",
        RESULTS,
        ours=True,
        worker=MIXED,
    ),
]
