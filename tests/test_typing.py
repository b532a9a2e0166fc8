"""Public functions and methods are annotated; nothing is imported for it."""

import ast
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_noisyfer"
# Of the private names those that users call.
CALLED = ("__init__", "__call__")


def public_functions(body, prefix=""):
    """Pairs of a name and its definition, methods of public classes too."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            yield from public_functions(node.body, prefix)
            yield from public_functions(node.orelse, prefix)
        elif not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        elif node.name.startswith("_") and node.name not in CALLED:
            continue
        elif isinstance(node, ast.ClassDef):
            yield from public_functions(node.body, f"{prefix}{node.name}.")
        else:
            yield f"{prefix}{node.name}", node


def lacking(node):
    """What of a definition has no annotation, a list of names."""
    given = node.args
    arguments = [
        *given.posonlyargs,
        *given.args,
        *given.kwonlyargs,
        *(each for each in (given.vararg, given.kwarg) if each),
    ]
    names = [
        each.arg
        for each in arguments
        if each.annotation is None and each.arg not in ("self", "cls")
    ]
    if node.returns is None and node.name != "__init__":
        names.append("return")
    return names


def unannotated(source):
    return {
        name: lacking(node)
        for name, node in public_functions(ast.parse(source).body)
        if lacking(node)
    }


MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if not path.name.startswith("_") or path.name == "__init__.py"
)


@pytest.mark.parametrize(
    "path", MODULES, ids=[str(each.relative_to(PACKAGE)) for each in MODULES]
)
def test_public_functions_are_annotated(path):
    assert unannotated(path.read_text("utf-8")) == {}


def test_what_lacks_an_annotation_is_found():
    source = """
class Thing:
    def __init__(self, size, *, name: str = ""): ...
    def __call__(self, x: int, **options): ...
    def _helper(self, x): ...

class _Private:
    def method(self, x): ...

if True:
    def make(x: int, *args: int) -> Thing: ...
else:
    def make(x: int, *args): ...
"""
    assert unannotated(source) == {
        "Thing.__init__": ["size"],
        "Thing.__call__": ["options", "return"],
        "make": ["args", "return"],
    }


def test_the_package_tells_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    data = project["tool"]["setuptools"]["package-data"]
    assert data["keras_noisyfer"] == ["py.typed"]
