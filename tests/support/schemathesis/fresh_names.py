"""A name stands for one request: used for another one it is refused, which is tested elsewhere."""

from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each request names of its own."""
    if case.headers and case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = str(uuid4())
    if case.method.upper() == "PUT":
        case.path_parameters["id"] = str(uuid4())
