"""Finds the quick tests by the names that their code uses, so that no test has to be marked by hand.

A test is slow if it, a fixture of it, or a function or class of the tests that either of them uses starts a server
or a process. The exception is ``stack.converse``, whose process lives for less than a second.
"""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

import stack
from servers import Server, need

TESTS = Path(__file__).parents[1]

#: Code that names one of these starts a server or a process.
SLOW = (need, subprocess)

#: Code that calls this uses a fixture whose name is known at run time only.
ASKS_FOR_A_FIXTURE = "getfixturevalue"

QUICK_ALL_THE_SAME = (stack.converse,)


def is_quick(test: pytest.Function) -> bool:
    """Tell whether a test starts neither a server nor a process, or only one that ends at once."""
    fixtures = [fixture.func for found in test._fixtureinfo.name2fixturedefs.values() for fixture in found]
    return not any(_starts_something(function, set()) for function in [test.function, *fixtures])


def _starts_something(thing: object, seen: set[object]) -> bool:
    if isinstance(thing, type) and issubclass(thing, Server | stack.Process):
        return True
    if not _is_of_the_tests(thing) or thing in seen or thing in QUICK_ALL_THE_SAME:
        return False
    seen.add(thing)
    for function in _functions(thing):
        names = set(_names(function.__code__))
        used = [function.__globals__[name] for name in names if name in function.__globals__]
        if ASKS_FOR_A_FIXTURE in names or any(one in SLOW or _starts_something(one, seen) for one in used):
            return True
    return False


def _is_of_the_tests(thing: object) -> bool:
    if not isinstance(thing, type | FunctionType):
        return False
    file = getattr(inspect.getmodule(thing), "__file__", None)  # modules in C have none
    return file is not None and TESTS in Path(file).parents


def _functions(thing: object) -> Iterator[FunctionType]:
    """Return the methods of a class, or a function without its decorators."""
    if isinstance(thing, type):
        members = list(vars(thing).values())
    else:
        members = [thing, getattr(getattr(thing, "hypothesis", None), "inner_test", thing)]
    for member in members:
        function = inspect.unwrap(member) if callable(member) else member
        if isinstance(function, FunctionType):
            yield function


def _names(code: CodeType) -> Iterator[str]:
    """All names that a function's code looks up, and the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
