import numpy as np
import pytest
from simulated_labels import simulate, uniform_confusion
from sklearn.metrics import roc_auc_score

from keras_noisyfer import noise
from keras_noisyfer.auditing.class_posteriors import fit_class_posterior

QUICKSTART = [uniform_confusion(7, rate) for rate in (0.3, 0.4, 0.5)]


def accuracy(findings, data):
    return (findings.consensus == data.truth).mean()


def auroc(findings, data):
    given = data.labels >= 0
    wrong = (data.labels != data.truth[:, None])[given]
    return roc_auc_score(wrong, -findings.scores[given])


def judge(data, values=()):
    posterior = fit_class_posterior(data.labels, data.predictions, values)
    return posterior.judge(data.labels)


def bayes_posterior(data, confusion):
    """What one would know who knows the annotators' matrices."""
    joint = data.predictions.copy()
    for annotator, matrix in enumerate(confusion):
        joint *= matrix[:, data.labels[:, annotator]].T
    return joint / joint.sum(axis=1, keepdims=True)


def test_is_as_good_as_knowing_the_annotators():
    data = simulate(2000, QUICKSTART, strength=1.2)
    ideal = bayes_posterior(data, QUICKSTART)
    findings = judge(data)
    ideal_accuracy = (ideal.argmax(axis=1) == data.truth).mean()
    assert accuracy(findings, data) > ideal_accuracy - 0.01
    ideal_scores = np.take_along_axis(ideal, data.labels, axis=1)
    wrong = data.labels != data.truth[:, None]
    ideal_auroc = roc_auc_score(wrong.ravel(), -ideal_scores.ravel())
    assert auroc(findings, data) > ideal_auroc - 0.005
    # The probabilities themselves, not just their order.
    assert np.abs(findings.scores - ideal_scores).mean() < 0.03


def test_is_better_than_the_labels_alone():
    data = simulate(900, QUICKSTART, strength=1.2)
    skene = noise.dawid_skene(data.labels, 7)
    gain = accuracy(judge(data), data) - (skene == data.truth).mean()
    assert gain > 0.05


def test_noise_rates_and_confusion_are_those_of_the_labels():
    data = simulate(2000, QUICKSTART, strength=1.2)
    findings = judge(data)
    realised = noise.realised_confusion(data.labels, data.truth, 7)
    assert np.abs(findings.confusion - realised).mean() < 0.012
    np.testing.assert_allclose(findings.confusion.sum(axis=-1), 1.0)
    wrong = (data.labels != data.truth[:, None]).mean(axis=0)
    np.testing.assert_allclose(findings.noise_rates, wrong, atol=0.02)


def test_finds_an_annotator_who_mixes_two_classes_up():
    mixing = np.eye(4) * 0.9 + 0.025
    mixing[1] = [0.6, 0.3, 0.05, 0.05]
    mixing /= mixing.sum(axis=1, keepdims=True)
    good = uniform_confusion(4, 0.1)
    # Two of three: a majority vote follows them.
    data = simulate(900, [mixing, mixing, good], strength=1.0)
    findings = judge(data)
    assert findings.confusion[0, 1, 0] == pytest.approx(0.6, abs=0.08)
    assert findings.confusion[2, 1, 0] < 0.1
    vote = noise.majority_vote(data.labels, 4, seed=0)
    assert accuracy(findings, data) > (vote == data.truth).mean() + 0.05


@pytest.mark.parametrize("overconfidence", [0.4, 3.0])
def test_predictions_need_not_be_calibrated(overconfidence):
    options = {"count": 900, "confusion": QUICKSTART, "strength": 1.2}
    calibrated = judge(simulate(**options))
    other = judge(simulate(**options, overconfidence=overconfidence))
    np.testing.assert_allclose(other.scores, calibrated.scores, atol=0.02)


def test_predictions_that_ignore_how_often_classes_are_seen():
    prior = [0.9, 0.07, 0.03]
    confusion = [uniform_confusion(3, rate) for rate in (0.3, 0.4)]
    data = simulate(900, confusion, strength=1.0, prior=prior)
    assert (data.predictions.argmax(axis=1) == data.truth).mean() < 0.7
    assert accuracy(judge(data), data) > 0.9


def test_one_annotator():
    data = simulate(2000, [uniform_confusion(10, 0.4)], strength=2.5)
    findings = judge(data)
    assert findings.noise_rates[0] == pytest.approx(0.4, abs=0.03)
    assert auroc(findings, data) > 0.97
    # Better than either of the two it is made of.
    predicted = (data.predictions.argmax(axis=1) == data.truth).mean()
    assert accuracy(findings, data) > max(predicted, 0.6) + 0.03


def test_missing_labels():
    data = simulate(900, QUICKSTART, strength=1.2, missing=0.5)
    data.labels[:3] = -1
    data.predictions[:3] = 0.01
    data.predictions[[0, 1, 2], [4, 0, 3]] = 0.94
    findings = judge(data)
    np.testing.assert_array_equal(np.isnan(findings.scores), data.labels < 0)
    # Without a label the prediction is all there is.
    np.testing.assert_array_equal(findings.consensus[:3], [4, 0, 3])


def test_an_annotator_without_labels():
    data = simulate(200, QUICKSTART, strength=1.2)
    data.labels[:, 1] = -1
    findings = judge(data)
    assert np.isnan(findings.noise_rates[1])
    assert np.isnan(findings.confusion[1]).all()
    assert np.isfinite(findings.scores[:, [0, 2]]).all()


def test_nothing_is_known_of_a_class_that_nobody_shows():
    predictions = np.tile([0.98, 0.01, 0.01], (50, 1))
    labels = np.zeros((50, 2), int)
    findings = fit_class_posterior(labels, predictions).judge(labels)
    np.testing.assert_allclose(findings.confusion[:, 0, 0], 1.0)
    assert np.isnan(findings.confusion[:, 1:]).all()


def class_values(truth, seed=1):
    centres = np.random.default_rng(5).uniform(-0.8, 0.8, (7, 2))
    noises = np.random.default_rng(seed).normal(0, 0.2, (len(truth), 2))
    return centres[truth] + noises


def test_values_tell_of_classes():
    data = simulate(900, QUICKSTART, strength=0.5)
    alone = judge(data)
    together = judge(data, [class_values(data.truth)])
    assert accuracy(together, data) > accuracy(alone, data) + 0.05
    assert auroc(together, data) > auroc(alone, data) + 0.02


def test_values_that_tell_nothing_do_no_harm():
    data = simulate(900, QUICKSTART, strength=1.2)
    values = np.random.default_rng(3).uniform(-1, 1, (900, 2))
    difference = accuracy(judge(data), data) - accuracy(
        judge(data, [values]), data
    )
    assert difference < 0.015


def test_missing_and_constant_values():
    data = simulate(900, QUICKSTART, strength=1.2)
    alone = judge(data)
    nothing = judge(data, [np.full((900, 2), np.nan)])
    np.testing.assert_array_equal(nothing.scores, alone.scores)
    constant = judge(data, [np.zeros((900, 2))])
    np.testing.assert_allclose(constant.scores, alone.scores, atol=0.05)


def test_order_of_images_and_annotators_is_nothing():
    data = simulate(300, QUICKSTART, strength=1.2)
    values = class_values(data.truth)
    findings = judge(data, [values])
    order = np.random.default_rng(0).permutation(300)
    posterior = fit_class_posterior(
        data.labels[order][:, ::-1], data.predictions[order], [values[order]]
    )
    shuffled = posterior.judge(data.labels[order][:, ::-1])
    np.testing.assert_allclose(
        shuffled.scores, findings.scores[order][:, ::-1], atol=1e-4
    )


def test_predictions_of_zero_and_one():
    data = simulate(300, QUICKSTART, strength=1.2)
    certain = np.eye(7)[data.predictions.argmax(axis=1)]
    posterior = fit_class_posterior(data.labels, certain)
    assert np.isfinite(posterior.probabilities).all()
    findings = posterior.judge(data.labels)
    assert accuracy(findings, data) > 0.8
