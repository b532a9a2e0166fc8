"""Summarizes results of the quickstart over several seeds.

Reads `results.json` files and prints two tables: each run's last epoch on the
clean test faces, and each method's mean and standard deviation over the runs.
"""

import argparse

from keras_noisyfer.files import read_json
from keras_noisyfer.results import format_table, summarise_runs

METRICS = ("accuracy", "ccc")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="results.json")
    runs = []
    for path in parser.parse_args(arguments).files:
        try:
            content = read_json(path)
            run = content["settings"]["seed"], content["results"]
            summarise_runs([run], METRICS)
            runs.append(run)
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(
                f"{path} is no results.json of the quickstart: {error!r}"
            )
    by_run, by_method = summarise_runs(runs, METRICS)
    print(format_table(by_run))
    print()
    print(format_table(by_method))


if __name__ == "__main__":
    main()
