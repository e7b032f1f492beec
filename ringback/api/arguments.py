"""What a task takes: read from its signature and type hints, checked before anything is published. Pure.

Hints are taken at their word: ``int`` is a JSON number without fraction, not a string of digits. What a hint says in a
way that pydantic does not know, and what has no hint, takes anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from inspect import Parameter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError, create_model

from ringback.errors import BadArguments
from ringback.runs import to_json

#: Problems that are told one by one. A body of 1 MiB has room for 200 000, which take pydantic 0.2 s to list.
MOST_PROBLEMS = 1000

#: Characters of what is told: it names the body's own keys, and a key may be as long as the body.
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
        """Accept these, or say which does not fit, and why.

        :param before: so many arguments come before these, and are not known yet.
        :raises BadArguments: they do not fit the signature or the hints.
        """
        try:
            bound = self.signature.bind(*[None] * before, *args, **kwargs)
            self._check_hints(to_json(bound.arguments), unknown=[p.name for p in self.parameters[:before]])
        except (TypeError, ValueError) as error:
            raise BadArguments(shorten(str(error))) from error

    def _check_hints(self, arguments: str, unknown: list[str]) -> None:
        try:
            self.model.__pydantic_validator__.validate_json(arguments, strict=True)
        except ValidationError as error:
            if error.error_count() > MOST_PROBLEMS:
                raise BadArguments(f"{error.error_count()} values do not fit the type hints") from error
            wrong = [one for one in problems(error) if not _is_whole(one) and one["loc"][0] not in unknown]
            if wrong:
                raise BadArguments(shorten(_explain(wrong))) from error

    @cached_property
    def model(self) -> type[BaseModel]:
        """The arguments by name. Its fields have numbers, since pydantic does not take every name that Python does."""
        fields: dict[str, Any] = {
            f"argument{number}": (_hint(parameter), Field(alias=parameter.name, **_default(parameter)))
            for number, parameter in enumerate(self.parameters)
        }
        return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)

    def schema(self, reference: str = "#/$defs/{model}") -> dict[str, Any]:
        """The JSON schema of the arguments by name.

        :param reference: how it refers to its definitions, which are its member ``$defs``.
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
    """What is wrong, each with its ``loc``, ``msg``, ``type`` and ``input``; nothing where it is too much to tell."""
    if error.error_count() > MOST_PROBLEMS:
        return []
    return error.errors(include_url=False, include_context=False)


def shorten(text: str) -> str:
    """The text, as much of it as is told."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _is_whole(problem: Any) -> bool:
    """Whether the problem is a number such as 3.0, which is an integer in JSON (JSON Schema, 6.1.1)."""
    value = problem["input"]
    return bool(problem["type"] == "int_type" and isinstance(value, float) and value.is_integer())


def _explain(wrong: list[Any]) -> str:
    reasons: dict[Any, str] = {}
    for problem in wrong:
        reasons.setdefault(problem["loc"][0], problem["msg"])
    return "; ".join(f"argument {name!r}: {why}" for name, why in reasons.items())
