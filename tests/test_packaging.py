"""What is installed: the files that the package brings, and that they are enough in an empty environment."""

from __future__ import annotations

import ast
import email.message
import email.parser
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from client import call, get
from servers import RabbitMQ
from stack import ROOT, Process, Web, environment

SWAGGER_UI = ROOT / "ringback" / "api" / "swagger_ui"
LICENCES = {"LICENSE", "ringback/api/swagger_ui/LICENSE", "ringback/api/swagger_ui/NOTICE"}

#: Only the template, the tests or an extra need these.
NOT_NEEDED = {"flask", "werkzeug", "jinja2", "sqlalchemy", "pymysql", "pg8000", "honcho", "redis"}

#: A stranger's project, as Celery's own introduction lays it out.
STRANGER = """
import os
from celery import Celery

app = Celery("proj", broker=os.environ.get("BROKER_URL", "memory://localhost/"), backend="rpc://")
app.conf.task_default_queue = os.environ.get("QUEUE", "celery")


@app.task
def add(x, y):
    return x + y
"""

Files = dict[str, bytes]


class Built(NamedTuple):
    """What ``python -m build`` makes of the tree, and the wheel that is made of the tree at once."""

    wheel: Path
    sdist: Path
    wheel_from_tree: Path


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a command that cannot import the project's tree, and return what it prints."""
    done = subprocess.run(command, cwd=cwd, env=environment(PYTHONPATH=""), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The distributions of the tree."""
    folder = tmp_path_factory.mktemp("built")
    run([sys.executable, "-m", "build", "--outdir", folder / "both", ROOT], folder)
    run([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "tree", ROOT], folder)
    [wheel], [sdist] = (folder / "both").glob("*.whl"), (folder / "both").glob("*.tar.gz")
    [wheel_from_tree] = (folder / "tree").glob("*.whl")
    return Built(wheel, sdist, wheel_from_tree)


@pytest.fixture(scope="module")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment where the wheel, and what it asks for, is all that was installed."""
    folder = tmp_path_factory.mktemp("empty")
    run([sys.executable, "-m", "venv", folder], folder)
    interpreter = folder / "bin" / "python"
    run([interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", built.wheel], folder)
    return interpreter


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the stranger's project."""
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "__init__.py").touch()
    (tmp_path / "proj" / "celery.py").write_text(STRANGER)
    return tmp_path


def package() -> Files:
    """The package's files in the tree, by their path from the tree's root."""
    found = (path for path in (ROOT / "ringback").rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in found}


def in_wheel(path: Path) -> Files:
    """The files of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_sdist(path: Path) -> Files:
    """The files of an sdist, by their path from its one folder."""
    found: Files = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            top, _, name = member.name.partition("/")
            assert f"{top}.tar.gz" == path.name
            found[name] = content.read()
    return found


def about(files: Files) -> str:
    """The wheel's folder for what is said of the package."""
    [folder] = {name.partition("/")[0] for name in files} - {"ringback"}
    assert re.fullmatch(r"ringback-[\d.]+\.dist-info", folder)
    return folder


def metadata(built: Built) -> email.message.Message:
    """What the wheel says of the package."""
    files = in_wheel(built.wheel)
    return email.parser.BytesParser().parsebytes(files[f"{about(files)}/METADATA"])


def requirements(built: Built, extra: str = "") -> dict[str, Requirement]:
    """What the package asks for on this Python, by name; with an extra, only what the extra adds."""
    found = [Requirement(line) for line in metadata(built).get_all("Requires-Dist", [])]
    return {canonicalize_name(one.name): one for one in found if is_for(one, extra) and is_for(one, "") != bool(extra)}


def is_for(requirement: Requirement, extra: str) -> bool:
    """Tell whether a requirement holds on this Python, with this extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def pins() -> dict[str, str]:
    """The version of each library in ``requirements.txt`` for this Python, by name."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [Requirement(line.rstrip(" \\")) for line in lines if line[0].isalnum()]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found if is_for(one, "")}


def imported() -> set[str]:
    """The top-level names of all modules that the package imports, anywhere in its code."""
    found: set[str] = set()
    for name, content in package().items():
        for node in ast.walk(ast.parse(content)) if name.endswith(".py") else ():
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                assert node.module
                found.add(node.module.partition(".")[0])
    return found


def test_the_files_of_swagger_ui_are_those_of_its_release() -> None:
    named = dict(reversed(line.split()) for line in (SWAGGER_UI / "SHA256SUMS").read_text().splitlines())

    there = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in SWAGGER_UI.iterdir()}

    assert {name: sha for name, sha in there.items() if name not in ("VERSION", "SHA256SUMS")} == named


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    files = in_wheel(built.wheel)
    said = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", *(f"licenses/{name}" for name in LICENCES)}
    expected = package()

    assert files.keys() == expected.keys() | {f"{about(files)}/{name}" for name in said}
    assert {name: content for name, content in files.items() if name in expected} == expected
    assert {"ringback/py.typed", "ringback/__main__.py", "ringback/api/swagger_ui/swagger-ui.css"} <= files.keys()


def test_the_sdist_holds_the_package_and_what_builds_it(built: Built) -> None:
    files = in_sdist(built.sdist)
    beside = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    made = {"PKG-INFO", ".gitignore"}  # Hatchling always adds the second, which says what a build leaves out
    expected = {**package(), **{name: (ROOT / name).read_bytes() for name in beside}}

    assert files.keys() == expected.keys() | made
    assert {name: content for name, content in files.items() if name in expected} == expected


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_tree(built: Built) -> None:
    assert in_wheel(built.wheel) == in_wheel(built.wheel_from_tree)


def test_the_package_asks_for_what_it_imports(built: Built) -> None:
    # pydantic asks for one version of pydantic_core, which is a part of it.
    modules = imported() - sys.stdlib_module_names - {"ringback", "pydantic_core"}
    required = requirements(built)

    assert {canonicalize_name(name) for name in modules} == required.keys() | {"redis", "cryptography"}
    assert [(name, one.extras) for name, one in requirements(built, "redis").items()] == [("celery", {"redis"})]
    assert list(requirements(built, "wechat")) == ["cryptography"]


def test_the_ranges_hold_the_versions_that_the_tests_run_on(built: Built) -> None:
    pinned = pins()
    required = requirements(built)

    assert [f"{name} {pinned[name]}" for name, one in required.items() if pinned[name] not in one.specifier] == []
    # Each of these has private names that the package uses, so that any next line may break it.
    assert "5.8.0" not in required["celery"].specifier
    assert "7.0" not in required["tornado"].specifier


def test_the_metadata_tells_licences_readme_and_command(built: Built) -> None:
    files, said = in_wheel(built.wheel), metadata(built)

    assert said["License-Expression"] == "MIT AND Apache-2.0"
    assert set(said.get_all("License-File", [])) == LICENCES
    for name in LICENCES:
        assert files[f"{about(files)}/licenses/{name}"] == (ROOT / name).read_bytes()
    assert said["Description-Content-Type"] == "text/markdown"
    assert in_sdist(built.sdist)["PKG-INFO"].decode().endswith((ROOT / "README.md").read_text())

    entry_points = ConfigParser()
    entry_points.read_string(files[f"{about(files)}/entry_points.txt"].decode())
    assert dict(entry_points["console_scripts"]) == {"ringback": "ringback.__main__:main"}


def test_an_installation_brings_nothing_of_the_template(python: Path, tmp_path: Path) -> None:
    frozen = run([python, "-m", "pip", "--disable-pip-version-check", "freeze", "--all"], tmp_path).splitlines()
    names = {canonicalize_name(re.split(r"==| @ ", line)[0]) for line in frozen}

    assert {"ringback", "celery", "tornado"} <= names
    assert names & NOT_NEEDED == set()
    where = run([python, "-c", "import ringback; print(ringback.__file__)"], tmp_path).strip()
    assert python.parents[1] in Path(where).parents


@pytest.mark.parametrize("command", [["ringback"], ["python", "-m", "ringback"]], ids=" ".join)
def test_a_strangers_project_is_served(python: Path, project: Path, command: list[str]) -> None:
    whole = [str(python.parent / command[0]), *command[1:], "--app=proj.celery:app", "--port=0"]
    with Web(command=whole, cwd=project, PYTHONPATH="") as web:
        answer = call(web.url, "proj.celery.add", 2, 3)
        assert (answer.status, answer.json["state"], answer.json["result"]) == (200, "SUCCESS", 5)
        assert get(web.url, "/docs").status == 200
        style = get(web.url, "/docs/swagger-ui.css")
        assert (style.status, style.body) == (200, (SWAGGER_UI / "swagger-ui.css").read_text())


def test_a_strangers_worker_needs_nothing_of_the_package(python: Path, project: Path, rabbitmq: RabbitMQ) -> None:
    variables = {"BROKER_URL": rabbitmq.url, "QUEUE": f"stranger-{uuid4()}", "PYTHONPATH": ""}
    worker = [str(python.parent / "celery"), "-A", "proj", "worker", "--pool", "solo", "--loglevel", "INFO"]
    web = [str(python.parent / "ringback"), "--app=proj.celery:app", "--port=0"]
    with Process(worker, ready=r"ready\.", cwd=project, **variables), Web(command=web, cwd=project, **variables) as at:
        answer = call(at.url, "proj.celery.add", 2, 3)
        assert (answer.status, answer.json["state"], answer.json["result"]) == (200, "SUCCESS", 5)


def test_a_start_without_redis_py_names_the_extra(python: Path, project: Path) -> None:
    variables = environment(PYTHONPATH="", REDIS_URL="redis://127.0.0.1:1/0")
    command = [python.parent / "ringback", "--app=proj.celery:app", "--port=0"]
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ringback[redis]" in done.stderr
    assert "Traceback" not in done.stderr
