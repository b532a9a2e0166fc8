"""Which remedy fits your labels: ranks methods on held-out noisy labels.

No clean label is needed or read. The data is a table of your own (--csv, with
the columns of your_csv.py) or one of the library's data sets (--data). What is
finished is kept: started again, this goes on where it was. Prints a table and
a recommendation, and writes `ranking.csv`, `ranking.txt` and `ranking.png`;
with --refit also `model.keras`, the first method's model, trained on all
images. Test images with clean labels, if any are named, show what the ranking
is worth; nothing is chosen by them.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI or AMX,
# where it is two to three times faster all the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_noisyfer.arguments import AUTO, number_flag
from keras_noisyfer.command_line.tables import (
    add_table_flags,
    load_table_data,
    table_options,
)
from keras_noisyfer.command_line.training import recipe_parser, run_recipe
from keras_noisyfer.comparison.choice import compare
from keras_noisyfer.comparison.choice_checks import DEFAULT_METHODS
from keras_noisyfer.comparison.data import DATASETS
from keras_noisyfer.comparison.methods import METHODS
from keras_noisyfer.networks.network import IMAGE_SIZES
from keras_noisyfer.results import prepare_output_dir


def load(flags):
    """Images with noisy labels, and test images with clean ones or None."""
    if flags.data is None:
        return load_table_data(table_options(flags), flags.seed)
    known = DATASETS[flags.data]
    where = {known.argument: flags.data_dir} if known.argument else {}
    sizes = {
        "image_size": flags.image_size,
        "train_size": flags.train_size or 2000,
        "validation_size": 0,
        "test_size": 1000,
    }
    data, test = (
        known.load(split, sizes, flags.seed, **where)
        for split in ("train", "test")
    )
    return data, test.clean_labels()


def run(flags):
    output = prepare_output_dir(flags.output_dir)
    data, test = load(flags)
    print(data.report)
    if flags.train_size and flags.train_size < len(data):
        (data,) = data.split([flags.train_size])
    shape = (flags.image_size, flags.image_size, flags.channels)
    search = {}
    if flags.lambdas:
        search["proposed"] = {"lambda_joint": flags.lambdas}
    augmentation = DATASETS[flags.data or "csv"].augmentation
    ranking = compare(
        data,
        methods=flags.methods,
        epochs=flags.epochs,
        search=search,
        held_out=flags.held_out,
        image_shape=shape,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        augmentation=augmentation if flags.augment else None,
        balanced=flags.balanced,
        minutes=flags.minutes,
        refit=flags.refit,
        test=test,
        output_dir=output,
        seed=flags.seed,
        report=lambda line: print(line, flush=True),
        width=flags.width,
        batch_normalization=True,
        dropout=0.0,
    )
    print(f"\n{ranking}\n")
    if ranking.model is not None:
        ranking.model.save(output / "model.keras")
    print(f"Table, figure and finished runs: {output}")


def main(arguments=None):
    parser = recipe_parser(__doc__.splitlines()[0])
    add = parser.add_argument
    count = number_flag(int, minimum=1)
    more = number_flag(float, above=0)
    add_table_flags(parser, required=False)
    names = [each for each in DATASETS if each != "csv"]
    add("--data", choices=names, help="a data set in the place of --csv")
    add("--data-dir", metavar="PATH", help="where its files are")
    # What needs clean labels, or a trained model first, is not ranked.
    names = [
        key
        for key, each in METHODS.items()
        if not each.pretrained and key != "vggnet-clean"
    ]
    add(
        "--methods",
        nargs="+",
        choices=names,
        metavar="METHOD",
        help="some of " + ", ".join(names) + "; by default "
        "those of " + ", ".join(DEFAULT_METHODS) + " that make sense",
    )
    add(
        "--lambdas",
        nargs="+",
        type=number_flag(float, minimum=0, words=(AUTO,)),
        metavar="LAMBDA",
        help="weights of the joint-distribution loss to choose from",
    )
    add("--epochs", type=count, default=24, help="number of epochs")
    add("--minutes", type=more, help="a budget, by successive halving")
    add(
        "--held-out",
        type=number_flag(float, above=0, maximum=0.9),
        default=0.2,
        help="fraction of the images that methods are ranked on",
    )
    add(
        "--train-size",
        type=number_flag(int, minimum=0),
        default=0,
        help="so many images, drawn at random; 0: all",
    )
    add(
        "--image-size",
        type=int,
        choices=IMAGE_SIZES,
        default=48,
        help="height and width that images are scaled to",
    )
    add("--channels", type=int, choices=(1, 3), default=3, help="1: gray")
    add("--width", type=more, default=0.25, help="of the networks")
    add("--batch-size", type=count, default=64, help="number of images")
    add("--learning-rate", type=more, default=1e-3, help="of Adam")
    add("--augment", action="store_true", help="as the data set is")
    add("--balanced", action="store_true", help="classes count the same")
    add("--refit", action="store_true", help="train the first on all images")
    add(
        "--seed", type=number_flag(int, minimum=0, maximum=2**31 - 1), default=0
    )
    add("--output-dir", default="runs/compare", help="folder of the results")
    flags = parser.parse_args(arguments)
    if (flags.data is None) == (flags.csv is None):
        parser.error("give either --csv and --image-root, or --data")
    if flags.csv is not None and flags.image_root is None:
        parser.error("--csv needs --image-root, the folder of its images")
    run_recipe(run, flags)


if __name__ == "__main__":
    main()
