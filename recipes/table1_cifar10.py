"""Table 1 of the paper: methods on CIFAR-10 with three noisy label sets.

Every cell, a method with a seed, is trained in a process of its own: the same
encoder, images, noise, augmentation and number of epochs. Finished cells are
kept: started again, this goes on where it was. Writes `cells.csv`, the history
of every cell, `table1.md` and figures.
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
    test_images,
)
from keras_noisyfer.command_line.training import run_recipe
from keras_noisyfer.comparison.publish import (
    write_annotator_models,
    write_curves,
    write_predictions,
    write_report,
)
from keras_noisyfer.comparison.report import (
    methods_table,
    metric_title,
    summarise,
)
from keras_noisyfer.comparison.tables import OBJECT, table1


def run(flags):
    comparison = comparison_of(flags)
    failed = run_comparison(comparison, flags, table1())
    folder = comparison.folder
    summary = summarise(folder, table1())
    write_report(
        folder,
        "table1",
        (metric_title(OBJECT), methods_table(summary, OBJECT)),
    )
    write_curves(folder, "multi-label", OBJECT)
    test = test_images(comparison, flags)
    write_predictions(folder, "multi-label", test, flags.seeds[0])
    write_annotator_models(
        folder,
        "multi-label",
        ("ltnet", "proposed"),
        flags.seeds[0],
    )
    raise_failed(comparison, failed)


def main(arguments=None):
    methods = [row.cell.method for row in table1()]
    parser = comparison_parser(__doc__, ["cifar10"], methods)
    run_recipe(run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
