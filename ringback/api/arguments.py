"""What a task takes: read from its signature and type hints, and checked before a call is published. Pure.

A hint is strict: ``int`` is a JSON number without fraction, not a string of digits. A parameter without a hint, or with
a hint that pydantic does not know, takes any value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from inspect import Parameter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError, create_model

from ringback.api.hints import Hints
from ringback.errors import BadArguments
from ringback.runs import to_json

#: The most problems that an answer lists. A body of 1 MiB has room for 200 000, which take pydantic 0.2 s to list.
MOST_PROBLEMS = 1000

#: The most characters of an answer's detail: it names keys of the body, and a key may be as long as the body.
LONGEST = 1000

#: The kinds of parameters that may be given by position.
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Arguments:
    """The arguments of a function.

    :param function: the task's ``run``.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        try:
            self.signature = inspect.signature(function, eval_str=True)
        except NameError:  # a hint that is only there for type checkers
            self.signature = inspect.signature(function)
        self.parameters = list(self.signature.parameters.values())

    def check(self, args: list[Any], kwargs: dict[str, Any], before: int = 0) -> None:
        """Check the arguments of a call.

        :param before: so many arguments come before these, and are not known yet.
        :raises BadArguments: they do not fit the signature or the hints.
        """
        try:
            bound = self.signature.bind(*[None] * before, *args, **kwargs).arguments
            # ``*args`` are bound as a tuple, which JSON does not have.
            values = {name: list(value) if isinstance(value, tuple) else value for name, value in bound.items()}
            self._check_hints(values, unknown=[p.name for p in self.parameters[:before]])
        except (TypeError, ValueError) as error:
            raise BadArguments(shorten(str(error))) from error

    def _check_hints(self, values: dict[str, Any], unknown: list[str]) -> None:
        try:
            self.hints.check(values)
        except ValidationError as error:
            if error.error_count() > MOST_PROBLEMS:
                raise BadArguments(f"{error.error_count()} values do not fit the type hints") from error
            wrong = [one for one in problems(error) if one["loc"][0] not in unknown]
            if wrong:
                raise BadArguments(shorten(_explain(wrong))) from error

    @cached_property
    def hints(self) -> Hints:
        """Compares values with the type hints."""
        return Hints(self.model)

    @cached_property
    def model(self) -> type[BaseModel]:
        """The model of the arguments by name. Its fields are numbered: pydantic refuses some of Python's names."""
        fields: dict[str, Any] = {
            f"argument{number}": (_hint(parameter), Field(alias=parameter.name, **_default(parameter)))
            for number, parameter in enumerate(self.parameters)
        }
        return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)

    def schema(self, reference: str = "#/$defs/{model}") -> dict[str, Any]:
        """Make the JSON schema of the arguments by name.

        :param reference: the form of a reference to a definition; the definitions are the schema's member ``$defs``.
        """
        schema = self.model.model_json_schema(ref_template=reference)
        for parameter in self.parameters:
            if parameter.kind is Parameter.VAR_KEYWORD:
                schema["additionalProperties"] = schema["properties"].pop(parameter.name)["additionalProperties"]
        del schema["title"]
        return schema


def _hint(parameter: Parameter) -> Any:
    hint = Any if parameter.annotation is Parameter.empty else parameter.annotation
    try:
        TypeAdapter(hint).json_schema()
    except (PydanticUserError, NameError, TypeError):
        hint = Any
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return list[hint]  # type: ignore[valid-type]
    if parameter.kind is Parameter.VAR_KEYWORD:
        return dict[str, hint]  # type: ignore[valid-type]
    return hint


def _default(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return {"default_factory": list}
    if parameter.kind is Parameter.VAR_KEYWORD:
        return {"default_factory": dict}
    if parameter.default is Parameter.empty:
        return {}
    try:
        to_json(parameter.default)
    except ValueError:
        return {"default_factory": lambda: parameter.default}  # which the schema does not show
    return {"default": parameter.default}


def problems(error: ValidationError) -> list[Any]:
    """List the problems, each with its ``loc``, ``msg``, ``type`` and ``input``; empty if there are too many."""
    if error.error_count() > MOST_PROBLEMS:
        return []
    return error.errors(include_url=False, include_context=False)


def shorten(text: str) -> str:
    """Cut a text to the length that an answer may have."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _explain(wrong: list[Any]) -> str:
    reasons: dict[Any, str] = {}
    for problem in wrong:
        reasons.setdefault(problem["loc"][0], problem["msg"])
    return "; ".join(f"argument {name!r}: {why}" for name, why in reasons.items())
