"""App. Fig. 5 and 6 of the paper: the joint loss at five weights.

Trains the joint-distribution GAN with lambda 0.2, 0.4, 0.6, 0.8 and 1.0, and
with the automatic one, which the paper leaves to future work.
Cells are run and kept as in table1_cifar10.py, with which it shares one.
Writes `cells.csv`, the history of every cell, `lambda_<case>.md` and figures
of the accuracy and both joint losses.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.command_line.comparison import (
    comparison_of,
    comparison_parser,
    raise_failed,
    run_comparison,
)
from keras_noisyfer.command_line.training import run_recipe
from keras_noisyfer.comparison.publish import (
    write_lambda_study,
    write_report,
)
from keras_noisyfer.comparison.report import (
    lambda_table,
    metric_title,
    summarise,
)
from keras_noisyfer.comparison.tables import (
    EXPRESSION,
    OBJECT,
    lambda_study,
)

CASES = ("cifar10", "raf-base", "affectnet-base", "synthetic-faces")


def run(flags):
    rows = lambda_study(flags.case)
    comparison = comparison_of(flags)
    failed = run_comparison(comparison, flags, list(rows.values()))
    folder = comparison.folder
    summary = summarise(folder, list(rows.values()))
    metric = OBJECT if flags.case == "cifar10" else EXPRESSION
    write_report(
        folder,
        f"lambda_{flags.case}",
        (metric_title(metric), lambda_table(summary, rows, metric)),
    )
    write_lambda_study(folder, rows, metric)
    raise_failed(comparison, failed)


def main(arguments=None):
    parser = comparison_parser(__doc__, CASES)
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
