"""Each request needs a new name: a name that was used for another request is refused, which is tested elsewhere."""

from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each request new names."""
    if case.headers and case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = str(uuid4())
    if case.method.upper() == "PUT":
        case.path_parameters["id"] = str(uuid4())
