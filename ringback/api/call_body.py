"""The body of a call: its arguments, and the options of Celery's that a caller may set. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from ringback.errors import BadArguments

Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]

#: The first and the last moment that has a date in every time zone. Celery's worker (``worker/strategy.py``) converts
#: an ``eta`` to its own zone; if that overflows, it logs a traceback and runs the task at once.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 29, tzinfo=timezone.utc)


def _within_reach(moment: datetime) -> datetime:
    return max(EARLIEST, min(moment, LATEST))


_ANY_MOMENT = TypeAdapter(AwareDatetime)


def _from_text(value: object) -> object:
    """A moment from its text. Strict validation takes it from text in JSON only, and not from what was read of JSON."""
    if not isinstance(value, str):
        return value
    try:
        return _ANY_MOMENT.validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error


Moment = Annotated[AwareDatetime, AfterValidator(_within_reach), BeforeValidator(_from_text)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: In JSON 3.0 is an integer, too (JSON Schema, 6.1.1).
Priority = Annotated[int, Field(ge=0, le=255), BeforeValidator(_whole)]


class Options(BaseModel):
    """The options of Celery's ``apply_async`` that a caller may set."""

    model_config = ConfigDict(extra="forbid")
    queue: str | None = None
    priority: Priority | None = None
    countdown: Seconds | None = None
    eta: Moment | None = None
    expires: Seconds | Moment | None = None


class CallBody(BaseModel):
    """The body of a call."""

    model_config = ConfigDict(extra="forbid")
    # Pydantic deep-copies a plain default for each body, and does not put a default factory into the schema.
    args: list[Any] = Field(default_factory=list, json_schema_extra={"default": []})
    kwargs: dict[str, Any] = Field(default_factory=dict, json_schema_extra={"default": {}})
    options: Options = Field(default_factory=Options, json_schema_extra={"default": {}})


def check_delay(options: Options, limit: float) -> None:
    """Check that a call does not wait for too long in a worker.

    :raises BadArguments: it does.
    """
    delays = {"countdown": options.countdown}
    if options.eta is not None:
        delays["eta"] = (options.eta - datetime.now(timezone.utc)).total_seconds()
    for name, delay in delays.items():
        if delay is not None and delay > limit:
            raise BadArguments(
                f"{name}: a call may be {limit:g} s ahead at most: RINGBACK_MAX_DELAY, or Redis' visibility_timeout"
            )
