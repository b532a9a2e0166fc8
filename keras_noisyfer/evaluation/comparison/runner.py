"""Runs the cells of a comparison, each in a process of its own."""

import contextlib
import csv
import dataclasses
import fcntl
import json
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

from keras_noisyfer.evaluation.results import prepare_output_dir, write_json

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


def run_cells(cells, profile, folder, data=None, jobs=1):
    """Runs what has not been run yet and adds each result to a CSV file.

    A finished cell is not run again, so that an interrupted comparison goes
    on where it was, at the loss of the cell it was at. A cell that fails is
    reported, and the others are run.

    Args:
        cells: Sequence of `Cell`s.
        profile: `Profile` of all of them.
        folder: Folder of the comparison, which gets `profile.json`,
            `cells.csv` (a line a cell and metric) and a folder a cell.
        data: Dict of arguments of the case's loader, where its files are.
        jobs: Number of cells run at once; the CPU's threads are divided
            among them.

    Returns:
        List of the cells that failed.

    Raises:
        ValueError: if the folder cannot be written to, holds results of
            another profile, or another process is at work in it.
    """
    folder = prepare_output_dir(folder)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with _lock(folder) as lock:
        _check_profile(folder, profile)
        listed = {_identity(row) for row in read_cells(folder)}
        waiting = {_identity(vars(each)): each for each in cells}
        waiting = [waiting[key] for key in waiting if key not in listed]
        print(
            f"{len(cells) - len(waiting)} of {len(cells)} cells are finished",
            flush=True,
        )
        failed = []
        with ThreadPoolExecutor(jobs) as pool:
            futures = {
                pool.submit(
                    _run, cell, profile, folder, data or {}, threads, lock
                ): cell
                for cell in waiting
            }
            for future in as_completed(futures):
                cell, results = futures[future], future.result()
                if results is None:
                    failed.append(cell)
                    log = folder / cell.folder / "log.txt"
                    print(f"failed: {cell}; see {log}", flush=True)
                    continue
                _append(folder / CELLS, cell, results)
                minutes = results["seconds"] / 60
                print(f"finished: {cell}, {minutes:.1f} min", flush=True)
    return failed


def read_cells(folder):
    """The rows of a comparison's `cells.csv`, dicts of strings."""
    path = pathlib.Path(folder) / CELLS
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _identity(row):
    return row["setting"], row["method"], int(row["seed"])


@contextlib.contextmanager
def _lock(folder):
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                "`folder` must not be in use by another run. "
                f"Received: {folder}"
            ) from None
        yield file.fileno()


def _check_profile(folder, profile):
    path = folder / "profile.json"
    given = dataclasses.asdict(profile)
    if not path.exists():
        write_json(path, given)
    kept = json.loads(path.read_text())
    for name, value in given.items():
        if kept.get(name) != value:
            raise ValueError(
                f"`folder` must hold results of the same settings; those in "
                f"{folder} have {name}={kept.get(name)}. Received: {value}"
            )


def _run(cell, profile, folder, data, threads, lock):
    """The results of a cell, or None where it failed."""
    path = folder / cell.folder
    specification = json.loads(
        json.dumps(
            {
                "cell": dataclasses.asdict(cell),
                "profile": dataclasses.asdict(profile),
                "data": data,
            }
        )
    )
    results = path / "results.json"
    # It may have outlived the run that started it.
    if not results.exists() or specification != _read(path / "cell.json"):
        path.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
        write_json(path / "cell.json", specification)
        print(f"started: {cell}", flush=True)
        with open(path / "log.txt", "w", encoding="utf-8") as log:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "keras_noisyfer.evaluation.comparison.cell",
                    str(path),
                ],
                env={
                    "TF_ENABLE_ONEDNN_OPTS": "1",
                    "TF_CPP_MIN_LOG_LEVEL": "2",
                    **os.environ,
                    "TF_NUM_INTRAOP_THREADS": str(threads),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # While it runs the folder is in use, even if this ends.
                pass_fds=[lock],
                check=False,
            )
    return _read(results)


def _read(path):
    return json.loads(path.read_text()) if path.exists() else None


def _append(path, cell, results):
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(
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
        )
