"""The layers of the package: which wing may import which, and which names stay in their modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ringback
from ringback import upgrade_guard

PACKAGE = Path(upgrade_guard.__file__).parent

#: The wings, in the order in which a request passes them; then ``wire`` and ``worker``.
WINGS = {"web", "api", "runs", "calls", "publish", "replies", "broker", "wire", "worker", "traffic"}

#: The top-level modules that may import wings; the other top-level modules may not.
ENTRY_POINTS = {"ringback", "ringback.__main__", "ringback.cli"}

#: The wings that each wing never imports; ``""`` is the top level.
NEVER = {
    "web": {"api", "runs"},
    "api": {"publish", "replies", "broker", "wire", "worker"},
    "runs": {"web", "api", "publish", "replies", "broker", "worker"},
    "calls": {"web", "api", "runs", "worker"},
    "publish": {"web", "api", "runs", "calls", "replies", "worker"},
    "replies": {"web", "api", "runs", "calls", "publish", "worker"},
    "broker": {"web", "api", "runs", "calls", "publish", "replies", "worker"},
    "wire": WINGS - {"wire"},
    "traffic": WINGS - {"traffic"},
    "worker": WINGS - {"worker", "wire"},
    "": WINGS,
}

#: The modules that may touch a private name of Celery.
MAY_TOUCH_CELERY = re.compile(
    r"ringback\.(calls\.(celery_app|call)|publish\.celery_amqp|replies\.\w+|wire\.redis|worker\.\w+)"
)


@cache
def modules() -> dict[str, ast.Module]:
    """The package's modules by name, parsed."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text())
    return found


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """A module's imports, also those for types and inside functions: each module, and the name taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)


def targets(name: str) -> set[str]:
    """The package's own modules that a module imports."""
    own = set()
    for module, member in imports(modules()[name]):
        if module.partition(".")[0] == "ringback":
            own.add(f"{module}.{member}" if f"{module}.{member}" in modules() else module)
    return own


def wing(name: str) -> str:
    """The wing of a module; empty for a top-level module."""
    second = name.split(".")[1] if "." in name else ""
    return second if second in WINGS else ""


def test_every_wing_has_a_docstring() -> None:
    assert {wing(name) for name in modules()} == WINGS | {""}
    for each in WINGS:
        caption = ast.get_docstring(modules()[f"ringback.{each}"]) or ""
        assert caption.splitlines()[0].endswith("."), each


def test_the_top_level_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("name", sorted(set(modules()) - ENTRY_POINTS))
def test_no_wing_imports_what_it_never_does(name: str) -> None:
    assert not {wing(target) for target in targets(name)} & NEVER[wing(name)]


def test_a_wing_is_imported_through_its_init() -> None:
    # Imported where Redis is used, since they need redis-py.
    allowed = {f"ringback.{name}" for name in ("runs.redis_keys", "runs.redis_store", "runs.shared", "wire.redis")}
    for name in set(modules()) - {"ringback"}:
        for target in targets(name):
            inside = target.count(".") > 1 and wing(target) != wing(name)
            assert not inside or target in allowed, f"{name} imports {target}"


def test_no_import_runs_in_a_circle() -> None:
    graph = {name: targets(name) - {"ringback"} for name in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        if name != "ringback":
            visit(name, ())


@pytest.mark.parametrize("name", sorted(modules()))
def test_only_the_http_side_imports_tornado(name: str) -> None:
    foreign = {module.partition(".")[0] for module, _ in imports(modules()[name])}
    assert "tornado" not in foreign or wing(name) in ("web", "api") or name == "ringback.cli"


@pytest.mark.parametrize("name", sorted(name for name in modules() if wing(name) in ("worker", "wire")))
def test_a_worker_imports_nothing_of_the_web_process(name: str) -> None:
    foreign = {module.partition(".")[0] for module, _ in imports(modules()[name])}
    assert not foreign & {"tornado", "gevent", "pydantic", "prometheus_client"}


def private_names(tree: ast.Module) -> set[str]:
    """The private attributes that a module uses of objects other than ``self`` and ``cls``."""
    taken = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls")):
                taken.add(node.attr)
    return taken


def names_of_wing(its_wing: str) -> set[str]:
    """The private names that the modules of a wing define."""
    own: set[str] = set()
    for name, tree in modules().items():
        for node in ast.walk(tree) if wing(name) == its_wing else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
    return own


GUARDED = set(re.findall(r"\b_[a-z]\w*", " ".join(upgrade_guard.ALL)))


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_private_name_is_of_the_same_wing_or_guarded(name: str) -> None:
    standard_library = {"_accept", "_get_running_loop", "_child_watcher"}
    assert private_names(modules()[name]) <= GUARDED | names_of_wing(wing(name)) | standard_library


@pytest.mark.parametrize("name", sorted(modules()))
def test_only_the_listed_modules_touch_celerys_private_names(name: str) -> None:
    of_celery = set(
        re.findall(r"\b_[a-z]\w*", " ".join(upgrade_guard.CELERY + upgrade_guard.WORKER + upgrade_guard.REDIS_RESULTS))
    )
    if not MAY_TOUCH_CELERY.fullmatch(name) and name != "ringback.upgrade_guard":
        assert not private_names(modules()[name]) & of_celery
        assert not {module for module, _ in imports(modules()[name]) if re.match(r"celery\..*\b_", module)}


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_private_name_is_imported_from_another_module(name: str) -> None:
    for module, member in imports(modules()[name]):
        if module.startswith("ringback"):
            assert not member.startswith("_") or member == "__version__", f"{name} imports {member} of {module}"


@pytest.mark.parametrize("name", sorted(name for name in modules() if wing(name) in ("web", "api", "runs", "")))
def test_the_core_is_used_through_the_switchboard(name: str) -> None:
    attributes = {node.attr for node in ast.walk(modules()[name]) if isinstance(node, ast.Attribute)}
    assert not attributes & {"outbox", "amqp", "ledger", "loop_queue"}


def test_files_and_functions_are_short() -> None:
    lengths = []
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 250, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append(int(node.end_lineno or 0) - node.lineno + 1)
                assert lengths[-1] <= 40, f"{path}: {node.name}"
    assert sum(length < 10 for length in lengths) > 0.7 * len(lengths)


def test_every_exported_name_is_found_where_the_package_says() -> None:
    assert set(ringback.__all__) == {*ringback._HOMES, *ringback._MODULES}
    for name in ringback.__all__:
        assert getattr(ringback, name) is not None
    with pytest.raises(AttributeError):
        ringback.nothing_of_the_kind  # noqa: B018
