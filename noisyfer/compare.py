"""`noisyfer compare`: which remedy fits your labels."""

from keras_noisyfer.comparison import METHODS, compare
from keras_noisyfer.results import prepare_output_dir
from noisyfer.data import find_augmentation, load_data
from noisyfer.flags import UsageError, naming_flags


def run(flags):
    unknown = [each for each in flags.methods or () if each not in METHODS]
    if unknown:
        raise UsageError(
            f"--methods must be of {', '.join(METHODS)}. "
            f"Received: {', '.join(unknown)}"
        )
    augmentation = find_augmentation(flags)
    with naming_flags(output_dir="--out"):
        output = prepare_output_dir(flags.out)
    data, test = load_data(flags)
    shape = (flags.image_size, flags.image_size, flags.channels)
    search = {}
    if flags.lambdas:
        search["proposed"] = {"lambda_joint": flags.lambdas}
    ranking = compare(
        data,
        methods=flags.methods,
        epochs=flags.epochs,
        search=search,
        held_out=flags.held_out,
        image_shape=shape,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        augmentation=augmentation,
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
