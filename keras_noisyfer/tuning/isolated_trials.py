"""Tuners that run each trial in a process of its own."""

import numbers
import pathlib
from typing import Any

import keras_tuner
import numpy as np

from keras_noisyfer.processes import call_in_process
from keras_noisyfer.results import write_json
from keras_noisyfer.tuning.hyper_model import JointDistributionHyperModel
from keras_noisyfer.tuning.objectives import (
    DIRECTIONS,
    make_objective,
    objective_directions,
)

HISTORY_FILE = "history.json"


class IsolatedTuner(keras_tuner.Tuner):
    """What `isolated` mixes into a tuner."""

    def run_trial(self, trial: Any, **kwargs: Any) -> dict[str, float]:
        """Trains in a new process and returns the last epoch's metrics.

        The epochs' metrics are kept in the trial's folder, `history.json`.
        """
        values = trial.hyperparameters.values
        # Hyperband goes on with the weights of an earlier trial.
        earlier = values.get("tuner/trial_id")
        history = call_in_process(
            _train,
            self.hypermodel,
            trial.hyperparameters,
            earlier and self._get_checkpoint_fname(earlier),
            self._get_checkpoint_fname(trial.trial_id),
            kwargs,
        )
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        write_json(folder / HISTORY_FILE, history)
        last = {name: series[-1] for name, series in history.items()}
        objective = self.oracle.objective
        # One of several has a name and a value of its own.
        return {**last, objective.name: objective.get_value(last)}


def isolated(tuner_class: type[keras_tuner.Tuner]) -> type[keras_tuner.Tuner]:
    """A tuner that runs each trial in a process of its own.

    What a trial leaves in memory goes with its process, and a trial that the
    system kills for want of memory fails alone. The result of a trial is its
    last epoch, not its best one.

    Args:
        tuner_class: `keras_tuner.RandomSearch`, `BayesianOptimization`,
            `Hyperband` or another subclass of `keras_tuner.Tuner`.

    Returns:
        A subclass of it. Its `hypermodel` is a `JointDistributionHyperModel`
        whose data can be pickled, such as files or an array; its `objective`
        one that `make_objective` takes.

    Example:

    >>> tuner = isolated(keras_tuner.RandomSearch)(
    ...     hypermodel, "val_consensus_loss", directory="runs/search"
    ... )
    >>> tuner.search(epochs=20)
    """

    class Isolated(tuner_class, IsolatedTuner):
        def __init__(self, hypermodel, objective, seed=None, **kwargs):
            # Before the first trial, which would be lost.
            objective = check_objective(hypermodel, objective)
            # KerasTuner takes a seed of 0 for none.
            seed = None if seed is None else seed + 1
            super().__init__(hypermodel, objective, seed=seed, **kwargs)
            repeats = getattr(self, "executions_per_trial", 1)
            if repeats != 1:
                raise ValueError(
                    "`executions_per_trial` must be 1: the hypermodel has one "
                    f"seed, which gives one result. Received: {repeats}"
                )

    Isolated.__name__ = f"Isolated{tuner_class.__name__}"
    return Isolated


def trial_rows(tuner: keras_tuner.Tuner) -> list[dict[str, Any]]:
    """One dict a finished trial, best first: its id, its hyperparameters and
    its objectives."""
    objective = tuner.oracle.objective
    chosen = [objective.name, *getattr(objective, "name_to_direction", ())]
    rows = []
    for trial in tuner.oracle.get_best_trials(len(tuner.oracle.trials)):
        rows.append(
            {
                "trial": trial.trial_id,
                **{
                    name: value
                    for name, value in trial.hyperparameters.values.items()
                    if not name.startswith("tuner/")
                },
                **{
                    name: float(trial.metrics.get_best_value(name))
                    for name in dict.fromkeys([*chosen, *DIRECTIONS])
                    if trial.metrics.exists(name)
                },
            }
        )
    return rows


def check_objective(
    hypermodel: JointDistributionHyperModel, objective: Any
) -> Any:
    """What `make_objective` makes of an objective that compares the trials of
    a hypermodel; raises `ValueError` if it does not."""
    if not isinstance(hypermodel, JointDistributionHyperModel):
        raise ValueError(
            "`hypermodel` must be a JointDistributionHyperModel. "
            f"Received: {type(hypermodel).__name__}"
        )
    checked = make_objective(objective, hypermodel.data.tasks)
    names = {each.name for each in np.ravel(checked)}
    gamma = hypermodel.space["gamma"]
    if "val_loss" in names and not isinstance(gamma, numbers.Real):
        raise ValueError(
            "`objective` must not be 'val_loss' where gamma is searched or "
            "'auto', since a smaller gamma makes it smaller: take "
            f"'val_consensus_loss'. Received: gamma={gamma}"
        )
    labelled = hypermodel.validation_data.labelled_tasks
    if len(labelled) < len(hypermodel.data.tasks):
        known = {*objective_directions(labelled), "val_annotator_agreement"}
        undefined = names - known | names & {"val_loss", "val_consensus_loss"}
        if undefined:
            raise ValueError(
                "`objective` must be of the tasks of which `validation_data` "
                f"has a label, {[task.name for task in labelled]}. "
                f"Received: {', '.join(sorted(undefined))}"
            )
    return checked


def _train(hypermodel, hyperparameters, earlier, weights, kwargs):
    model = hypermodel.build(hyperparameters)
    if earlier:
        model.load_weights(earlier)
    history = hypermodel.fit(hyperparameters, model, **kwargs).history
    pathlib.Path(weights).parent.mkdir(parents=True, exist_ok=True)
    model.save_weights(weights)
    return {
        name: [float(value) for value in series]
        for name, series in history.items()
    }
