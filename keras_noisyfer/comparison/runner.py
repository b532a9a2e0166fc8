"""Runs the cells of an experiment, in any executor."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import dataclasses
import fcntl
import json
import math
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from keras_noisyfer.arguments import check_choice, one_line
from keras_noisyfer.comparison.cell import run_cell
from keras_noisyfer.comparison.data import keep_labels, load_case
from keras_noisyfer.comparison.experiment import Cell, Experiment
from keras_noisyfer.comparison.methods import method_data
from keras_noisyfer.files import open_rows, read_json, replacing
from keras_noisyfer.metrics import metrics_for, monitor_modes
from keras_noisyfer.processes import ProcessExecutor
from keras_noisyfer.results import (
    keep_settings,
    prepare_output_dir,
    write_json,
)
from keras_noisyfer.typing import PathLike

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
    "noisy_score",
    "steps",
    "seconds",
)


def run_experiment(
    experiment: Experiment,
    folder: PathLike,
    seeds: Iterable[int] = (0,),
    methods: Iterable[str] | None = None,
    data: Mapping[str, Any] | None = None,
    executor: concurrent.futures.Executor | None = None,
    jobs: int = 1,
) -> list[Cell]:
    """Trains what has not been trained yet; each result goes to a CSV file.

    A finished cell is not run again, so that an interrupted experiment goes
    on where it was, at the loss of the cells it was at. A cell that fails is
    reported, and the others are run.

    Args:
        experiment: `Experiment`.
        folder: Folder of the results, which gets `settings.json`, `cells.csv`
            (a line a cell and metric) and a folder a cell.
        seeds: Each is one run of every cell.
        methods: Keys of those methods that are run; by default all.
        data: Dict of arguments of the data set's loader, where its files are.
        executor: A `concurrent.futures.Executor` whose workers are processes
            (not forked ones) that run one cell at a time and see `folder` and
            the data under the same paths: that of a Dask, MPI or Slurm cluster
            runs the cells on many machines. By default each cell has a new
            process on this one.
        jobs: Number of cells at once without an `executor`; the CPU's threads
            are divided among them.

    Returns:
        List of the cells that failed.

    Raises:
        ValueError: if the data or a method cannot be had, the folder holds
            results of other settings or cannot be written to, or another
            process is at work in it.

    Example:

    >>> with dask.distributed.Client(threads_per_worker=1) as client:
    ...     run_experiment(experiment, folder, executor=client.get_executor())
    """
    if executor is not None and not hasattr(executor, "submit"):
        raise ValueError(
            "`executor` must be a concurrent.futures.Executor. "
            f"Received: {executor!r}"
        )
    folder = prepare_output_dir(folder)
    data = {**experiment.data_options, **(data or {})}
    profile = dataclasses.asdict(experiment.profile)
    methods = experiment.methods if methods is None else methods
    for name, values, known in (
        ("seeds", seeds, None),
        ("methods", methods, experiment.methods),
    ):
        if (
            isinstance(values, str)
            or not isinstance(values, Iterable)
            or not (values := list(values))
            or known
            and set(values) - set(known)
        ):
            raise ValueError(
                f"`{name}` must be a list of "
                f"{'some of ' + ', '.join(known) if known else 'integers'}. "
                f"Received: {values!r}"
            )
    asked = experiment.cells(seeds, methods)
    # What is wrong is said here, once, and not in the log of a cell.
    first = asked[0].seed
    case = load_case(experiment.data, profile, first, **data)
    for setting in experiment.settings:
        keep_labels(case.train, setting.tasks, setting.annotators)
    tested = {
        name
        for task in case.test.labelled_tasks
        for name in monitor_modes(metrics_for(task))
    }
    for name in experiment.metrics:
        check_choice("metrics", name, sorted(tested))
    for method in dict.fromkeys(cell.method for cell in asked):
        method_data(method, case.train)
    keep_settings(folder, {"profile": profile})
    cells = {_identity(vars(each)): each for each in asked}
    with _lock(folder):
        listed = {_identity(row) for row in read_rows(folder)}
        waiting = [cells[key] for key in cells if key not in listed]
        finished = len(cells) - len(waiting)
        print(f"{finished} of {len(cells)} cells are finished", flush=True)
        common = {
            "profile": profile,
            "data": data,
            "imports": list(experiment.imports),
        }
        for key in cells.keys() & listed:
            _check_listed(cells[key], common, folder)
        try:
            if executor is not None:
                return _run(waiting, common, folder, executor)
            threads = max(1, (os.cpu_count() or 1) // jobs)
            with _own_processes(jobs) as processes:
                return _run(waiting, common, folder, processes, threads)
        except KeyboardInterrupt:
            print("Interrupted; started again, this goes on", flush=True)
            raise


def read_rows(folder: PathLike) -> list[dict[str, str]]:
    """The rows of an experiment's `cells.csv`, dicts of strings.

    Raises:
        ValueError: if it is no such file.
    """
    path = pathlib.Path(folder) / CELLS
    if not path.exists():
        return []
    try:
        with open_rows(path) as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            _identity(dict.fromkeys(reader.fieldnames or (), "0"))
        for row in rows:
            _identity(row)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} must be the table of an experiment. "
            f"Received: {one_line(repr(error))}"
        ) from error
    return rows


def _identity(row):
    return row["setting"], row["method"], int(row["seed"])


@contextlib.contextmanager
def _lock(folder):
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another run is at work in {folder}. Try again when it has "
                "ended"
            ) from None
        yield


@contextlib.contextmanager
def _own_processes(jobs):
    """A `ProcessExecutor`; what is running when it is left ends."""
    before = multiprocessing.active_children()
    executor = ProcessExecutor(jobs)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in before:
                process.terminate()


def _specify(cell, common):
    """What a cell is made of, as its file has it."""
    return json.loads(json.dumps({"cell": dataclasses.asdict(cell), **common}))


def _check_listed(cell, common, folder):
    """Raises `ValueError` if a finished cell was made of something else."""
    wanted = _specify(cell, common)
    kept = _read(folder / cell.folder / "cell.json") or wanted
    for part in ("cell", "data"):
        if kept[part] != wanted[part]:
            raise ValueError(
                f"{folder} holds results of {cell} with other settings; these "
                f"need a folder of their own. Received: {wanted[part]} where "
                f"there is {kept[part]}"
            )


def _run(cells, common, folder, executor, threads=None):
    """Runs the cells; returns those that failed."""
    running, failed = {}, []
    for cell in cells:
        path = folder / cell.folder
        specification = _specify(cell, common)
        # A worker may have outlived the run that started it.
        if _read(path / "results.json") and specification == _read(
            path / "cell.json"
        ):
            _add_results(cell, folder)
            continue
        # Nothing of an earlier attempt is to be taken for one of this.
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        write_json(path / "cell.json", specification)
        running[executor.submit(run_cell, str(path), threads)] = cell
    try:
        for future in concurrent.futures.as_completed(running):
            cell = running[future]
            error = future.exception()
            if error is None:
                _add_results(cell, folder)
            else:
                failed.append(cell)
                log = folder / cell.folder / "log.txt"
                said = one_line(error) or type(error).__name__
                print(f"failed: {cell}: {said}; see {log}", flush=True)
    except BaseException:
        for future in running:
            future.cancel()
        raise
    return failed


def _add_results(cell, folder):
    """Adds a cell's results to the table."""
    results = read_json(folder / cell.folder / "results.json")
    rows = [
        {
            "setting": cell.setting,
            "method": cell.method,
            "seed": cell.seed,
            "metric": metric,
            **{name: round(each, 5) for name, each in values.items()},
            "last_epoch": results["epochs"]["last"],
            "chosen_epoch": results["epochs"]["chosen"],
            # Results of a version before it have none.
            "noisy_score": round(results.get("noisy_score", math.nan), 5),
            "steps": results["steps"],
            "seconds": round(results["seconds"]),
        }
        for metric, values in results["test"].items()
    ]
    # Replaced as a whole, so that there is never half a line.
    with (
        replacing(folder / CELLS) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*read_rows(folder), *rows])
    print(f"finished: {cell}, {results['seconds'] / 60:.1f} min", flush=True)


def _read(path):
    return read_json(path) if path.exists() else None
