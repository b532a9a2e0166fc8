"""Which remedy fits one's labels, told without a single clean one."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_noisyfer.arguments import check_choice, check_number
from keras_noisyfer.comparison.choice_checks import (
    check_images,
    check_options,
    check_size,
    checksum,
    choose_methods,
    describe_function,
    describe_method,
    list_searches,
    with_annotator_axis,
)
from keras_noisyfer.comparison.data import only_clean
from keras_noisyfer.comparison.noisy_scores import guess_scores
from keras_noisyfer.comparison.ranking import (
    Ranking,
    count_epochs,
    rank_trials,
    tell_guessing,
)
from keras_noisyfer.comparison.training import prepare_training
from keras_noisyfer.comparison.trial import Trial
from keras_noisyfer.labels import check_output_names, output_names
from keras_noisyfer.noise.shared_mistakes import share_mistakes
from keras_noisyfer.results import keep_settings, prepare_output_dir
from keras_noisyfer.tasks import CategoricalTask
from keras_noisyfer.typing import Augmentation, PathLike, Shape

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages


# Seconds after which one would rather have known before, and those that
# tracing takes of a first epoch.
LONG = 1800
TRACING = 60


def compare(
    data: LabelledImages,
    methods: Sequence[str] | None = None,
    epochs: int = 24,
    search: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    max_trials: int = 5,
    held_out: float = 0.2,
    image_shape: Shape | None = None,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    augmentation: Augmentation | None = None,
    balanced: bool = False,
    minutes: float | None = None,
    refit: bool = False,
    test: LabelledImages | None = None,
    output_dir: PathLike | None = None,
    seed: int = 0,
    report: Callable[[str], Any] = print,
    **options: Any,
) -> Ranking:
    """Ranks remedies for noisy labels on those labels themselves.

    Trains each on a part of the images and scores its predictions on the
    *noisy* labels of the others, after each epoch; its best epoch counts. No
    clean label is read. Methods of several tasks are ranked by their mean
    rank over the tasks.

    The ranking is that on clean labels as far as noise depends on the class
    alone and leaves most labels of a class right (Chen et al.). Mistakes that
    depend on the image, or that annotators share, are rewarded instead: then
    prefer a small clean set.

    Args:
        data: `LabelledImages`.
        methods: Keys of `methods.METHODS`, at least two; by default plain
            training and remedies that need no extra.
        epochs: Number of epochs, at least 1.
        search: Optional dict by method of what to choose by the same rule: a
            dict by option of lists, all of whose combinations are tried, or
            ranges, such as `{"proposed": {"lambda_joint": (0.05, 2.0)}}`.
            Needs `keras_noisyfer[tune]`.
        max_trials: Number of points that KerasTuner draws for a method with
            ranges, on a logarithmic scale.
        held_out: Fraction of the images that are held out, in (0, 1). They
            must have 50 labels of each task.
        image_shape: See `LabelledImages.batches`.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for all networks.
        augmentation: See `LabelledImages.batches`.
        balanced: Whether classes count the same in a categorical task's
            score.
        minutes: A budget, by successive halving: all methods are trained for
            a quarter of the epochs, the better half goes on for as many
            again, and so forth. It favors what learns fast: robust losses
            begin slowly. None: all have all epochs.
        refit: Whether to train the first method on all images, for as many
            epochs as were best.
        test: `LabelledImages` with clean labels, to see what the ranking is
            worth: `<task>_clean` in the table is the score on them, after the
            epoch that the noisy labels have chosen. Nothing is chosen by it.
        output_dir: Folder that keeps what is finished: called again, the
            comparison goes on where it was. None: nothing is kept.
        seed: Seed of everything.
        report: Function that is called with a line of progress, and of the
            hours ahead where they are many.
        **options: Arguments of `methods.make_model`, such as `width`.

    Returns:
        A `Ranking`. `print` it.

    Raises:
        ValueError: if an argument is wrong, a task has too few held-out
            labels to choose by, or the folder has results of other settings.

    Example:

    >>> ranking = compare(data, epochs=24, width=0.25)
    >>> print(ranking)
    >>> ranking.figure().savefig("ranking.png")

    Reference:

    - [Chen et al., 2021](https://arxiv.org/abs/2012.04193)
    """
    check_number("epochs", epochs, minimum=1, integer=True)
    check_number("held_out", held_out, above=0, below=1)
    check_number("batch_size", batch_size, minimum=1, integer=True)
    check_number("learning_rate", learning_rate, above=0)
    check_number("seed", seed, minimum=0, integer=True)
    if not callable(report):
        raise ValueError(f"`report` must be a function. Received: {report!r}")
    if minutes is not None:
        check_number("minutes", minutes, above=0)
    check_images("data", data)
    if test is not None:
        check_images("test", test)
        test = only_clean(test)
        if not test.labelled_tasks:
            raise ValueError(
                "`test` must have clean labels. Received: none in its `clean`"
            )
        known = {task.name: output_names(task) for task in data.tasks}
        for task in test.labelled_tasks:
            check_choice("test", task.name, known)
        check_output_names("test", test.labelled_tasks, known, "`data`")
    data = with_annotator_axis(data)
    methods = choose_methods(methods, data)
    check_number("max_trials", max_trials, minimum=1, integer=True)
    points = list_searches(search, methods, max_trials, seed)
    check_options(options, methods)
    size = min(len(data) - 1, max(1, round(held_out * len(data))))
    train, others = data.split([len(data) - size, size], seed)
    tasks = others.labelled_tasks
    check_size(tasks, others)
    folder = None
    if output_dir is not None:
        settings = {
            "held_out": held_out,
            "image_shape": image_shape,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "augmentation": describe_function("augmentation", augmentation),
            "balanced": balanced,
            "test": None if test is None else checksum(test),
            "seed": seed,
            **options,
        }
        content = {"images": len(data), "content": checksum(data)}
        folder = prepare_output_dir(output_dir)
        keep_settings(folder, {"data": content, "settings": settings})

    def build(method, images=train, **searched):
        return prepare_training(
            method,
            images,
            image_shape=image_shape,
            batch_size=batch_size,
            learning_rate=learning_rate,
            augmentation=augmentation,
            seed=seed,
            **{"warmup_epochs": epochs // 4, **options, **searched},
        )

    batches = others.batches(image_shape, 256)
    test_batches = test and test.batches(image_shape, 256)
    trials = [
        Trial(
            method,
            point,
            build,
            others,
            batches,
            test_batches,
            balanced,
        )
        for method in methods
        for point in points[method]
    ]
    # Options that no model takes are refused before the first is trained.
    for trial in trials:
        if folder is not None:
            made_of = {
                "method": describe_method(trial.method),
                "warmup_epochs": epochs // 4,
                **options,
                **trial.options,
            }
            trial.keep_in(folder, made_of)
        if len(trial.history) > epochs:
            raise ValueError(
                f"The results in {folder} are of {len(trial.history)} epochs; "
                "fewer need an output folder of their own. "
                f"Received: epochs={epochs}"
            )
        if not trial.history:
            build(trial.method, **trial.options)
    left_out = _run(trials, epochs, minutes, report)
    trials = [each for each in trials if each.history]
    table = rank_trials(trials, tasks, others, balanced, seed, test)
    guesses = guess_scores(tasks, others.labels, balanced)
    remarks = tell_guessing(table, guesses) + _remarks(tasks, data, left_out)
    ranking = Ranking(table, remarks)
    if folder is not None:
        table.to_csv(folder / "ranking.csv")
        pathlib.Path(folder, "ranking.txt").write_text(f"{ranking}\n")
        ranking.figure().savefig(folder / "ranking.png", dpi=120)
    if refit:
        (first,) = [e for e in trials if e.key == ranking.recommended]
        report(f"{first.title}: {count_epochs(first.epoch)} on all images")
        ranking.model, dataset, _ = build(first.method, data, **first.options)
        ranking.model.fit(dataset, epochs=first.epoch, verbose=0)
    return ranking


def _run(trials, epochs, minutes, report):
    """Trains the trials; returns the keys of those left out for time."""
    begin = time.perf_counter()
    running, left_out = list(trials), []
    ahead = sum(epochs - len(trial.history) for trial in trials)
    told = minutes is not None
    ends = [begin]

    def tell_time(trial):
        nonlocal told
        ends.append(time.perf_counter())
        seconds = ends[-1] - ends[-2]
        if told or (len(ends) == 2 and seconds < TRACING):
            return
        told = True
        if seconds * ahead > LONG:
            report(
                f"{trial.title}: an epoch takes {seconds:.0f} s; all {ahead} "
                f"ahead some {seconds * ahead / 3600:.1f} hours or more. "
                "Fewer `methods` or `epochs`, a smaller `width`, or a budget "
                "in `minutes` shorten it"
            )

    rung = epochs if minutes is None else max(1, epochs // 4)
    while True:
        for trial in list(running):
            used = (time.perf_counter() - begin) / 60
            begun = any(each.history for each in trials)
            if minutes is not None and used > minutes and begun:
                running.remove(trial)
                left_out += [] if trial.history else [trial.key]
                continue
            before = len(trial.history)
            trial.train(rung, tell_time)
            kept = ", as kept" if before == len(trial.history) else ""
            report(
                f"{trial.title}: {len(trial.history)} of "
                f"{count_epochs(epochs)}, noisy score {trial.best:.3f} after "
                f"epoch {trial.epoch}, {trial.seconds:.0f} s{kept}"
            )
            if minutes is None:
                trial.forget()
        if rung >= epochs or not running:
            break
        running.sort(key=lambda each: -each.best)
        half = max(2, (len(running) + 1) // 2)
        for trial in running[half:]:
            trial.forget()
        running = running[:half]
        rung = min(epochs, 2 * rung)
    for trial in trials:
        trial.forget()
    return left_out


def _remarks(tasks, data, left_out):
    remarks = []
    for task in tasks:
        if not isinstance(task, CategoricalTask):
            continue
        shared = share_mistakes(data.labels[task.name], task.num_classes)
        if shared is None:
            remarks.append(
                f"With fewer than three labels an image ({task.name}) nothing "
                "tells whether some images are hard for all annotators; if "
                "you expect that, check this ranking on a few clean labels."
            )
        elif shared:
            remarks.append(
                f"The annotators of {task.name} go wrong on the same images: "
                "check this on a few clean labels, since methods that repeat "
                "such mistakes are ranked too high."
            )
        else:
            # Measured: README, 'Which remedy fits your labels?'.
            remarks.append(
                f"Where all annotators of {task.name} take an image for the "
                "same wrong class, their labels do not tell: if you expect "
                "that, check this on a few clean labels."
            )
    if left_out:
        remarks.append(f"Not tried, for time: {', '.join(left_out)}.")
    return remarks
