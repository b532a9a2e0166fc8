"""Scores on noisy labels, and the ranking that is made of them."""

import numpy as np
import pytest
from ranked_cases import COUNT, TASKS, make_data, predictions
from sklearn.metrics import balanced_accuracy_score

from keras_noisyfer.comparison.noisy_scores import resample_counts, score_tasks
from keras_noisyfer.comparison.ranking import Ranking, rank_trials


def concordance(x, y):
    deviation = (x.mean() - y.mean()) ** 2
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + deviation)


def test_scores_by_other_means():
    data = make_data()
    predicted = predictions(data, 0.8)
    given = data.labels["mood"]
    known = given >= 0
    classes = predicted["mood"].argmax(axis=1)
    answers = np.stack([classes, classes], axis=1)
    scores = score_tasks(TASKS, data.labels, predicted)
    accuracy = np.mean(given[known] == answers[known])
    assert scores["mood"] == pytest.approx([accuracy])
    balanced = score_tasks(TASKS, data.labels, predicted, balanced=True)
    assert balanced["mood"] == pytest.approx(
        [balanced_accuracy_score(given[known], answers[known])]
    )
    pain = data.labels["pain"][20:, 0].astype("float64")
    expected = [
        concordance(pain[:, each], predicted["pain"][20:, each])
        for each in range(2)
    ]
    assert scores["pain"] == pytest.approx([np.mean(expected)], rel=1e-6)


def test_a_resample_is_that_of_the_images_in_it():
    data = make_data()
    predicted = predictions(data, 0.8)
    counts = resample_counts(COUNT, seed=3)
    scores = score_tasks(TASKS, data.labels, predicted, counts)
    assert counts[5].sum() == COUNT and (counts[0] == 1).all()
    drawn = np.repeat(np.arange(COUNT), counts[5].astype(int))
    again = score_tasks(
        TASKS,
        {name: each[drawn] for name, each in data.labels.items()},
        {name: each[drawn] for name, each in predicted.items()},
    )
    for name, each in again.items():
        assert scores[name][5] == pytest.approx(each[0], rel=1e-6)


class Trial:
    def __init__(self, key, predictions, seconds=10.0, epochs=4):
        self.key, self.title = key, key.upper()
        self.predictions, self.seconds = predictions, seconds
        self.history, self.epoch = [0.0] * epochs, 3
        self.test_predictions = predictions


def test_what_cannot_be_told_apart_is_not_behind():
    data = make_data()
    good, same, bad = (
        predictions(data, right, seed)
        for right, seed in ((0.8, 1), (0.8, 2), (0.5, 3))
    )
    trials = [Trial("bad", bad), Trial("good", good), Trial("same", same, 2.0)]
    for tasks in (TASKS, TASKS[:1]):
        table = rank_trials(trials, tasks, data, False, seed=0)
        assert set(table.index[:2]) == {"good", "same"}
        assert table["behind"].to_list() == [False, False, True]
        for name in ("mood",):
            row = table.loc["good"]
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        # By hand: two methods of three better.
        assert table.loc["bad", "mean_rank"] == 3
    ranking = Ranking(table, ["A remark."])
    assert ranking.recommended == table.index[0]
    assert "cannot be told apart from it" in ranking.recommendation
    text = str(ranking)
    assert "A remark." in text and "behind" in text
    alone = Ranking(
        rank_trials([trials[1], trials[0]], TASKS, data, False, 0), []
    )
    assert (
        alone.recommendation
        == "Use GOOD for 3 epochs: it is ahead of all others."
    )
    trials[1].history = [0.0] * 9
    stopped = Ranking(rank_trials(trials, TASKS, data, False, 0), [])
    assert "stopped early" in str(stopped)
    # The first may be stopped itself; no other one goes without a word then.
    table = stopped.table.assign(behind=False, epochs=[4, 9, 9])
    turned = Ranking(table, [])
    for title in turned.table["title"].iloc[1:]:
        assert title in turned.recommendation
    # Nor is what was left behind on the way said to be as good.
    equals = stopped.recommendation
    assert not any(
        title in equals
        for title in stopped.table["title"][stopped.stopped].iloc[1:]
    )


def test_a_cheaper_equal_is_named():
    data = make_data()
    trials = [
        Trial("dear", predictions(data, 0.8)),
        Trial("cheap", predictions(data, 0.8), seconds=5.0),
    ]
    table = rank_trials(trials, TASKS, data, False, seed=0)
    ranking = Ranking(table.loc[["dear", "cheap"]], [])
    assert ranking.recommendation.endswith("CHEAP takes 50% of the time.")
    assert [each.get_title() for each in ranking.figure().axes] == [
        "mood",
        "pain",
    ]
