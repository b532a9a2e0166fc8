"""The wheel holds all that the package needs, wherever it is installed."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("keras_noisyfer", "noisyfer")
pytest.importorskip("setuptools", minversion="77")


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, since a build leaves its files in the folder and takes up those
    # that an earlier one has left.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "-w", folder)
    (wheel,) = folder.iterdir()
    return wheel


@pytest.mark.slow
@pytest.mark.smoke
def test_has_each_file_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        (scripts,) = (
            archive.read(n).decode()
            for n in archive.namelist()
            if n.endswith("entry_points.txt")
        )
    assert names == {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "noisyfer = noisyfer:main" in scripts


@pytest.mark.slow
@pytest.mark.smoke
def test_works_away_from_the_repository(wheel, tmp_path):
    pip("install", "--no-deps", "--target", tmp_path / "site", wheel)
    code = """
import pathlib, sys
import keras_noisyfer, noisyfer
site = pathlib.Path(sys.argv.pop(1))
assert all(site in pathlib.Path(m.__file__).parents
           for m in (keras_noisyfer, noisyfer))
# What is no Python.
import keras_noisyfer.auditing.page
noisyfer.main(sys.argv[1:])
"""
    flags = ["--model", str(ROOT / "saved_models" / "quickstart")]
    flags.append(str(ROOT / "results" / "quickstart" / "face.png"))
    printed = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "site", "predict", *flags],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    ).stdout
    assert "happy" in printed.splitlines()[-1]
