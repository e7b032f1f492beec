"""Arguments are compared with type hints as pydantic compares JSON, but for whole numbers such as 3.0."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from typing_extensions import TypedDict

from ringback.api.hints import Hints


class Point(BaseModel):
    name: str
    x: float = 0.0


class Named(BaseModel, extra="forbid"):
    """A model whose fields have other names in JSON, and which takes no others."""

    label: str = Field(alias="name")
    x: int | Point = Field(1, validation_alias="a")


class Even(BaseModel, extra="allow"):
    """A model that is looked at when it is made."""

    x: int
    _seen: bool = False

    @model_validator(mode="after")
    def is_even(self) -> Even:
        if self.x % 2:
            raise ValueError("odd")
        return self


class Wrong(BaseModel, validate_default=True):
    """A model whose default does not fit."""

    x: int = "a"  # type: ignore[assignment]


class Tree(BaseModel):
    name: str
    a: list[Tree | Point] = []


class Pair(TypedDict):
    type: int


HINTS: list[Any] = [
    *(int, float, str, bool, None, Any, list[int], dict[str, int], dict[int, str], list[list[float]]),
    *(int | None, int | str, list[int | str | None], Literal["a", 1], Point, list[Point], Pair, dict[str, Any]),
    *(
        Named,
        list[Named | Point],
        Even,
        list[Even | Point],
        Tree,
        Tree | None,
        list[Point | datetime],
        tuple[Named, int],
        Wrong,
    ),
    *(RootModel[list[Point]], Annotated[Point, AfterValidator(lambda point: point.name and point)]),
    *(datetime, date, Decimal, UUID, bytes, tuple[int, str], set[int], list[datetime], datetime | None),
]
KEYS = st.sampled_from(["a", "name", "x", "type", "1"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1e300, "a", "1", "2026-01-02", "2026-01-02T03:04:05Z", "0" * 32]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)


def hints(hint: Any) -> Hints:
    return Hints(create_model("Arguments", value=(hint, ...)))


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: str(hint).partition(" at 0x")[0])
def test_a_value_fits_a_hint_as_it_does_in_json(hint: Any) -> None:
    checked, adapter = hints(hint), TypeAdapter(hint)

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(VALUES)
    def agree(value: Any) -> None:
        if "1e+300" in json.dumps(value):  # a whole number for us
            return
        try:
            adapter.validate_json(json.dumps(value), strict=True)
            fits = True
        except ValidationError:
            fits = False
        if fits:
            checked.check({"value": value})
        else:
            with pytest.raises(ValidationError):
                checked.check({"value": value})

    agree()


@pytest.mark.parametrize("hint", [int, int | None, list[int], dict[str, int], Pair, list[int | datetime]], ids=str)
def test_a_number_with_a_fraction_of_0_is_whole(hint: Any) -> None:
    shapes = {"list": [3.0], "dict": {"a": 3.0}, "Pair": {"type": 3.0}}
    value = next((shape for name, shape in shapes.items() if name in str(hint)), 3.0)

    hints(hint).check({"value": value})
    with pytest.raises(ValidationError):
        hints(hint).check({"value": json.loads(json.dumps(value).replace("3.0", "3.5"))})


def test_a_list_ends_with_its_first_wrong_element() -> None:
    for hint in (list[int], list[datetime], list[list[int]], tuple[int, ...]):
        with pytest.raises(ValidationError) as raised:
            hints(hint).check({"value": ["wrong"] * 1000})
        assert raised.value.error_count() == 1
