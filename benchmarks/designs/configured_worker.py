"""Another project's worker with ``ringback.worker.configure``, without one part, which the environment names."""

import os

from celery import Celery
from celery.worker.request import Request

import ringback.worker
from benchmarks.designs.parts import PARTS


class StockRequest(Request):  # type: ignore[misc]
    """Celery's own ``Request`` as the project's class, which ``configure`` keeps."""


without = os.environ.get("WITHOUT", "")
app = Celery("configured", broker=os.environ["BROKER_URL"], backend="rpc://")
app.config_from_object(PARTS[without])
if os.environ.get("CONFIGURE") == "1":
    ringback.worker.configure(app)


@app.task(name="test", **({"Request": StockRequest} if without == "decoding once" else {}))
def test(body: str) -> str:
    """The same task as in ``tasks.py``."""
    return body[2:5]
