"""Summarises how well audits did over several seeds.

Reads `measures.json` files of `noisyfer audit`. Of classes and of values it
prints two tables: each run, and the mean and standard deviation over the seeds,
by method and by where the predictions came from.
"""

import argparse
import json

import numpy as np

from keras_noisyfer.results import format_table, summarise_runs
from noisyfer.audit import METRICS as AUDIT_METRICS

# Of a task of classes, and of one of values.
METRICS = (
    AUDIT_METRICS,
    ("rank_correlation", "consensus_ccc", "mean_vote_ccc"),
)


def read_run(path, metrics):
    """The seed of a file, and a row a method of the first task that was
    measured by `metrics`; means over the dimensions."""
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    folds = content["settings"]["folds"]
    source = f"{folds} folds" if folds else "one model"
    rows = []
    for method, tasks in content["measures"].items():
        for measures in tasks.values():
            if set(metrics) <= set(measures):
                # Where no label is wrong, some of them are None.
                row = {
                    name: np.mean(np.asarray(measures[name], "float64"))
                    for name in metrics
                }
                rows.append({"method": f"{method}, {source}", **row})
                break
    return content["settings"]["seed"], rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="measures.json")
    files = parser.parse_args(arguments).files
    for metrics in METRICS:
        runs = []
        for path in files:
            try:
                runs.append(read_run(path, metrics))
            except (OSError, ValueError, KeyError, TypeError) as error:
                parser.error(
                    f"{path} is no measures.json of an audit: {error!r}"
                )
        by_run, by_method = summarise_runs(runs, metrics)
        if by_run:
            print(f"{format_table(by_run)}\n\n{format_table(by_method)}\n")


if __name__ == "__main__":
    main()
