"""Reads JSON that a client sends: decoded once, whatever its shape, and compared with a model after that.

Pydantic's own ``validate_json`` takes several times as long for lists within lists, whose every element it keeps in a
table of its own, and makes Python's objects of all that is wrong. Runs on the loop's greenlet.
"""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from ringback.api.arguments import problems, shorten
from ringback.errors import BadRequest

Shape = TypeVar("Shape", bound=BaseModel)

#: What pydantic says of the types of JSON, which it calls by Python's names.
SAYS = {
    "list_type": "Input should be a valid array",
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
}

#: Makes each digit a 9, each E an e, and each other character but a minus sign a blank.
NUMBERS = bytes.maketrans(b"012345678E", b"9" * 9 + b"e")
NUMBERS = bytes(made if made in b"9e-" else ord(" ") for made in NUMBERS)


#: Bytes of a text beyond which lists and objects may not be more than this part of it. 333 kB of ``[[[…]]]`` cost as
#: much as 3 MB of other JSON; a list of empty lists, which is the least that means something, has a third.
LARGE, MOST_NESTED = 20_000, 0.35

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"' if sys.version_info >= (3, 11) else rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def read_json(text: bytes, shape: type[Shape]) -> Shape:
    """Read JSON; an empty text stands for an empty object.

    :param shape: the model that it must fit.
    :raises BadRequest: it is not JSON, or does not fit.
    """
    return fit(read_value(text), shape)


def read_value(text: bytes) -> Any:
    """Read JSON of any shape; an empty text stands for an empty object.

    :raises BadRequest: it is not JSON.
    """
    if _is_little_but_nested(text) and _is_little_but_nested(STRING.sub(b'""', text)):
        raise BadRequest("the body has too many lists and objects with nothing in them")
    if len(text) > LARGE:
        pause_collector()
    try:
        value = from_json(text or b"{}", allow_inf_nan=False)
        if _may_be_infinite(text):  # which ``from_json`` lets through if it is written as a number, such as 1e400
            from_json(to_json(value, inf_nan_mode="constants"), allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    return value


def fit(value: object, shape: type[Shape]) -> Shape:
    """Compare what was read with a model.

    :raises BadRequest: it does not fit.
    """
    try:
        return shape.model_validate(value, strict=True)
    except ValidationError as error:
        told = "; ".join(_say(**problem) for problem in problems(error)) or f"body: {error.error_count()} problems"
        raise BadRequest(shorten(told)) from error


def pause_collector() -> None:
    """Keep the garbage collector from looking at a large value again and again while it is made.

    On the loop it stays paused until the loop's next pass, so that it does not look at the value in this one.
    """
    if not gc.isenabled():
        return
    gc.disable()
    try:
        asyncio.get_running_loop().call_soon(gc.enable)
    except RuntimeError:  # there is no loop, as in a script
        gc.enable()


def _is_little_but_nested(text: bytes) -> bool:
    return len(text) > LARGE and text.count(b"[") + text.count(b"{") > MOST_NESTED * len(text)


def _may_be_infinite(text: bytes) -> bool:
    """Whether a number has 200 digits, or an exponent of three: without both it is less than 1e300."""
    numbers = text.translate(NUMBERS, b"+")
    return b"e999" in numbers or b"9" * 200 in numbers


def _say(loc: tuple[str | int, ...], msg: str, type: str, **_: object) -> str:  # noqa: A002
    return f"{'.'.join(map(str, loc)) or 'body'}: {SAYS.get(type, msg)}"
