"""README and the pages of docs/ run, and describe every public name."""

import ast
import importlib
import json
import pathlib
import re
import sys

import pytest

import keras_noisyfer
from keras_noisyfer import comparison

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))

from notebooks import NOT_RUN, TUTORIALS, to_markdown  # noqa: E402

PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
}
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
PICTURES = set()
for path in NOTEBOOKS:
    PAGES[str(path.relative_to(ROOT))], pictures = to_markdown(path)
    PICTURES |= set(pictures)
# A line before a block says why it cannot run here.
BLOCK = re.compile(
    r"^(?:<!-- not run: ([^\n]+) -->\n)?```python\n(.*?)^```", re.M | re.S
)
BLOCKS = {name: BLOCK.findall(text) for name, text in PAGES.items()}
RUN = [name for name, blocks in BLOCKS.items() if blocks]
# Marks of the pages: a few run in each `make test`, most in `make test-smoke`
# and the longest in `make test-slow` alone.
SMOKE = [pytest.mark.slow, pytest.mark.smoke]
LONG = dict.fromkeys(
    (
        "docs/guides/beyond_one_machine.md",
        "docs/guides/decoder.md",
        "docs/guides/lambda_gamma.md",
        "docs/guides/remedies.md",
        "docs/guides/resume.md",
    ),
    [pytest.mark.slow],
)
QUICK = dict.fromkeys(("docs/guides/noise.md", "docs/method.md"), [])
MARKS = {**dict.fromkeys(RUN, SMOKE), **LONG, **QUICK}
FILE = re.compile(
    r"`(?:python )?((?:recipes|benchmarks|results|saved_models)/[\w./-]+)[` ]"
)
# What the examples do for minutes, in seconds.
SMALL = {
    r"\b(train_size|count)=\d{3,}": r"\1=300",
    r"\bload_synthetic_faces\(": "load_synthetic_faces(test_size=32, ",
    r"\bdraw_faces\(\d{3,}": "draw_faces(64",
    r"(?<!\w)epochs=\d+": "epochs=1",
    r"\bwarmup_epochs=\d+": "warmup_epochs=0",
    r"\bwidth=[\d.]+": "width=0.0625",
    r'("width": )[\d.]+': r"\g<1>0.0625",
    r"\bmax_trials=\d+": "max_trials=1",
    r'"sce", "elr"\]': '"sce"]',
    r'"onnx", "litert", ': "",
}
PACKAGES = sorted(
    path.parent.name
    for path in pathlib.Path(keras_noisyfer.__file__).parent.glob(
        "*/__init__.py"
    )
)


def small(code):
    for pattern, replacement in SMALL.items():
        code = re.sub(pattern, replacement, code)
    return code


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared data sets go to the home folder, once for all pages."""
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture
def registered():
    """What a page registers is forgotten after it."""
    tables = comparison.METHODS, comparison.DATASETS
    kept = [dict(each) for each in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=MARKS[page]) for page in RUN]
)
@pytest.mark.usefixtures("registered")
@pytest.mark.filterwarnings("default")
def test_page_runs(page, home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for number, (reason, code) in enumerate(BLOCKS[page], 1):
        if not reason:
            where = f"{page}, block {number}"
            exec(compile(small(code), where, "exec"), names)


def imports(code):
    """The modules of a program's imports, and the names from each."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((each.name, None) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, each.name) for each in node.names)


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (page, code)
        for page, blocks in BLOCKS.items()
        for reason, code in blocks
        if reason
    ],
)
def test_what_cannot_run_is_a_program_of_known_names(page, code):
    compile(code, page, "exec")
    for module, name in imports(code):
        if name is None or not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}" if name else module)
    for name in re.findall(r"\bkn\.(\w+)", code):
        assert hasattr(keras_noisyfer, name)


def programs():
    for page, blocks in BLOCKS.items():
        for _, code in blocks:
            yield page, code
    for folder in ("recipes", "benchmarks"):
        for path in sorted((ROOT / folder).glob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for path in sorted((ROOT / "recipes").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(cell["source"])
                # Not Python, but Jupyter's.
                yield str(path.relative_to(ROOT)), re.sub("(?m)^%", "#", code)


def test_nothing_is_imported_from_deeper_than_a_sub_package():
    deep = [
        f"{where}: {module}"
        for where, code in programs()
        for module, _ in imports(code)
        if re.match(r"keras_noisyfer\.\w+\.", module or "")
    ]
    assert deep == []


def public_names():
    """Of the package, and of each sub-package what is its own."""
    for name in keras_noisyfer.__all__:
        yield "index", f"keras_noisyfer.{name}"
    for package in PACKAGES:
        module = getattr(keras_noisyfer, package)
        for name in getattr(module, "__all__", ()):
            own = getattr(module, name)
            if own is not getattr(keras_noisyfer, name, None):
                yield package, f"keras_noisyfer.{package}.{name}"


def test_every_public_name_is_on_a_page_of_the_api():
    absent = []
    for page, name in public_names():
        text = PAGES.get(f"docs/api/{page}.md", "")
        # A constant has no docstring and is in a table.
        row = f"\n| `{name.rpartition('.')[2]}` |"
        if f"\n::: {name}\n" not in text and row not in text:
            absent.append(name)
    assert absent == []


def test_every_page_is_in_the_navigation():
    # Of a notebook the site makes a page.
    pages = {
        str(path.relative_to(DOCS).with_suffix(".md"))
        for path in [*DOCS.glob("**/*.md"), *NOTEBOOKS]
    }
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    assert set(re.findall(r": (\S+\.md)$", nav, re.M)) == pages


def test_files_that_pages_name_are_there():
    # Links between the pages are checked by `make docs`.
    absent = []
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!\w+:)([^)#]+)", text):
            there = (ROOT / page).parent.joinpath(target).exists()
            if not there and target not in PICTURES:
                absent.append(f"{page}: {target}")
        # This page names the recipes that commands have taken the place of.
        if page == "docs/command_line.md":
            continue
        for target in FILE.findall(text):
            if not (ROOT / target).exists():
                absent.append(f"{page}: {target}")
    assert absent == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_is_committed_as_it_ran(path):
    assert path.stat().st_size < 150_000
    ran, drawn = 0, 0
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        if NOT_RUN in cell["metadata"].get("tags", ()):
            assert cell["source"][0].startswith("# Not run here: ")
            continue
        ran += 1
        # One after the other, from the first.
        assert cell["execution_count"] == ran
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            drawn += "image/png" in output.get("data", ())
    assert ran and drawn


def test_readme_is_short():
    assert PAGES["README.md"].count("\n") <= 150
