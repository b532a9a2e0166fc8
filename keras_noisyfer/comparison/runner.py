"""Runs the cells of a comparison, each in a process of its own."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from keras_noisyfer.arguments import one_line
from keras_noisyfer.files import open_rows, read_json
from keras_noisyfer.results import (
    keep_settings,
    prepare_output_dir,
    write_json,
)
from keras_noisyfer.typing import PathLike

if TYPE_CHECKING:
    from keras_noisyfer.comparison.cell import Cell
    from keras_noisyfer.comparison.profiles import Profile

CELLS = "cells.csv"
COLUMNS = (
    "setting",
    "method",
    "seed",
    "metric",
    "last",
    "chosen",
    "best",
    "last_epoch",
    "chosen_epoch",
    "steps",
    "seconds",
)
_POLL_SECONDS = 0.2


def run_cells(
    cells: Iterable[Cell],
    profile: Profile,
    folder: PathLike,
    data: Mapping[str, Any] | None = None,
    jobs: int = 1,
) -> list[Cell]:
    """Runs what has not been run yet and adds each result to a CSV file.

    A finished cell is not run again, so that an interrupted comparison goes
    on where it was, at the loss of the cells it was at. A cell that fails is
    reported, and the others are run.

    Args:
        cells: Sequence of `Cell`s.
        profile: `Profile` of all of them.
        folder: Folder of the comparison, which gets `settings.json`,
            `cells.csv` (a line a cell and metric) and a folder a cell.
        data: Dict of arguments of the case's loader, where its files are.
        jobs: Number of cells run at once; the CPU's threads are divided
            among them.

    Returns:
        List of the cells that failed.

    Raises:
        ValueError: if the folder cannot be written to, or another process is
            at work in it.
    """
    folder = prepare_output_dir(folder)
    cells = {_identity(vars(each)): each for each in cells}
    running, failed = {}, []
    with _lock(folder) as lock:
        listed = {_identity(row) for row in read_rows(folder)}
        waiting = [cells[key] for key in cells if key not in listed]
        finished = len(cells) - len(waiting)
        print(f"{finished} of {len(cells)} cells are finished", flush=True)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    running[cell.folder] = (
                        cell,
                        _start(cell, profile, folder, data or {}, jobs, lock),
                    )
                time.sleep(_POLL_SECONDS)
                for key, (cell, process) in list(running.items()):
                    if process is None or process.poll() is not None:
                        del running[key]
                        if not _finish(cell, folder):
                            failed.append(cell)
        except KeyboardInterrupt:
            print("Interrupted; started again, this goes on", flush=True)
            raise
        finally:
            for _, process in running.values():
                if process is not None:
                    process.terminate()
    return failed


def read_rows(folder: PathLike) -> list[dict[str, str]]:
    """The rows of a comparison's `cells.csv`, dicts of strings.

    Raises:
        ValueError: if it is no such file.
    """
    path = pathlib.Path(folder) / CELLS
    if not path.exists():
        return []
    try:
        with open_rows(path) as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            _identity(row)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} must be the table of a comparison. "
            f"Received: {one_line(repr(error))}"
        ) from error
    return rows


def check_settings(
    folder: PathLike, profile: Profile, data: Mapping[str, Any]
) -> None:
    """Keeps results of different settings apart.

    Args:
        folder: Folder of a comparison, where the settings are written the
            first time.
        profile: `Profile`.
        data: Dict that tells the data of one's own from others.

    Raises:
        ValueError: if the folder holds results of other settings.
    """
    keep_settings(
        prepare_output_dir(folder),
        {"profile": dataclasses.asdict(profile), "data": data},
    )


def _identity(row):
    return row["setting"], row["method"], int(row["seed"])


@contextlib.contextmanager
def _lock(folder):
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another run is at work in {folder}, or a cell that outlived "
                "its run; its results will be taken up. Try again when it "
                "has ended"
            ) from None
        yield file.fileno()


def _start(cell, profile, folder, data, jobs, lock):
    """Starts a cell's process; None where its results are there already."""
    path = folder / cell.folder
    specification = _plain(
        {
            "cell": dataclasses.asdict(cell),
            "profile": dataclasses.asdict(profile),
            "data": data,
        }
    )
    # It may have outlived the run that started it.
    if _read(path / "results.json") and specification == _read(
        path / "cell.json"
    ):
        return None
    # Nothing of an earlier attempt is to be taken for one of this.
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    write_json(path / "cell.json", specification)
    print(f"started: {cell}", flush=True)
    with open(path / "log.txt", "w", encoding="utf-8") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "keras_noisyfer.comparison.cell",
                str(path),
            ],
            env={
                "TF_ENABLE_ONEDNN_OPTS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "2",
                **os.environ,
                "TF_NUM_INTRAOP_THREADS": str(
                    max(1, (os.cpu_count() or 1) // jobs)
                ),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # While it runs the folder is in use, even if this ends.
            pass_fds=[lock],
        )


def _finish(cell, folder):
    """Adds a cell's results to the table; whether it has any."""
    results = _read(folder / cell.folder / "results.json")
    if results is None:
        log = folder / cell.folder / "log.txt"
        print(f"failed: {cell}; see {log}", flush=True)
        return False
    rows = [
        {
            "setting": cell.setting,
            "method": cell.method,
            "seed": cell.seed,
            "metric": metric,
            **{name: round(each, 5) for name, each in values.items()},
            "last_epoch": results["epochs"]["last"],
            "chosen_epoch": results["epochs"]["chosen"],
            "steps": results["steps"],
            "seconds": round(results["seconds"]),
        }
        for metric, values in results["test"].items()
    ]
    # Replaced as a whole, so that there is never half a line.
    unfinished = folder / f".{CELLS}"
    with open(unfinished, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*read_rows(folder), *rows])
    unfinished.replace(folder / CELLS)
    print(f"finished: {cell}, {results['seconds'] / 60:.1f} min", flush=True)
    return True


def _plain(value):
    """What is left of a value in JSON."""
    return json.loads(json.dumps(value))


def _read(path):
    return read_json(path) if path.exists() else None
