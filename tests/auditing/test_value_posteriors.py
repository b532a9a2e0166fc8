import numpy as np
import pytest

from keras_noisyfer.auditing.value_posteriors import fit_value_posterior


def simulate(count, bias, spread, seed=0, prediction_error=0.3):
    """True values of two dimensions, and annotators of a bias and spread."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-0.7, 0.7, (count, 2))
    noises = generator.normal(size=(count, len(bias), 2))
    noises *= np.array(spread)[:, None]
    labels = truth[:, None] + np.array(bias)[:, None] + noises
    predictions = truth + generator.normal(0, prediction_error, (count, 2))
    return truth, labels, predictions


def rmse(values, truth):
    return np.sqrt(np.square(values - truth).mean())


def test_bias_and_spread_of_each_annotator():
    bias, spread = (-0.2, 0.05, 0.15), (0.1, 0.2, 0.4)
    _, labels, predictions = simulate(2000, bias, spread)
    findings = fit_value_posterior(labels, predictions)
    np.testing.assert_allclose(
        findings.bias, np.repeat(np.array(bias)[:, None], 2, 1), atol=0.02
    )
    np.testing.assert_allclose(
        findings.spread, np.repeat(np.array(spread)[:, None], 2, 1), atol=0.04
    )


def test_bias_of_annotators_who_saw_other_images():
    truth, labels, predictions = simulate(900, (-0.2, 0.2), (0.1, 0.1))
    # The first saw images of high values, the second of low ones, and both
    # those between.
    labels[truth[:, 0] < -0.2, 0] = np.nan
    labels[truth[:, 0] > 0.2, 1] = np.nan
    findings = fit_value_posterior(labels, predictions)
    np.testing.assert_allclose(findings.bias[:, 0], [-0.2, 0.2], atol=0.02)


def test_consensus_weighs_annotators_by_their_spread():
    truth, labels, predictions = simulate(2000, (0, 0, 0), (0.1, 0.2, 0.4))
    findings = fit_value_posterior(labels, predictions)
    error = rmse(findings.consensus, truth)
    assert error < 0.6 * rmse(labels.mean(axis=1), truth)
    # 1 / sqrt(1/0.1^2 + 1/0.2^2 + 1/0.4^2 + what the predictions tell)
    assert error < 0.088
    assert findings.deviations.mean() == pytest.approx(error, rel=0.25)


def test_one_annotator_has_no_bias_that_others_could_tell():
    truth, labels, predictions = simulate(900, (0.0,), (0.3,))
    findings = fit_value_posterior(labels, predictions)
    assert np.isnan(findings.bias).all()
    assert np.isfinite(findings.spread).all()
    assert rmse(findings.consensus, truth) < rmse(labels[:, 0], truth)


def test_scores_find_replaced_labels():
    _, labels, predictions = simulate(900, (0.1, -0.1), (0.15, 0.15))
    replaced = np.arange(0, 900, 10)
    labels[replaced, 0] = -np.sign(labels[replaced, 0]) * 0.9
    findings = fit_value_posterior(labels, predictions)
    assert np.median(findings.scores[replaced, 0]) < 1e-4
    # Of good labels as many score below 0.05 as do so by chance.
    kept = np.setdiff1d(np.arange(900), replaced)
    assert (findings.scores[kept, 1] < 0.05).mean() < 0.12
    assert 0.3 < np.median(findings.scores[kept, 0]) < 0.7


def test_classes_tell_what_to_expect():
    """A happy face with a valence of -0.8."""
    generator = np.random.default_rng(0)
    happy = np.arange(600) % 2
    labels = np.where(happy, 0.7, -0.5)[:, None, None] + generator.normal(
        0, 0.1, (600, 1, 1)
    )
    labels[1] = -0.8
    classes = np.eye(2)[happy]
    useless = generator.uniform(-1, 1, (600, 1))
    blind = fit_value_posterior(labels, useless)
    seeing = fit_value_posterior(labels, useless, [classes])
    assert blind.scores[1, 0] > 0.05
    assert seeing.scores[1, 0] < 1e-6


def test_missing_labels_and_dimensions():
    _, labels, predictions = simulate(300, (0.0, 0.0), (0.2, 0.2))
    labels[0] = np.nan
    labels[1, 0] = np.nan
    labels[2, 0, 0] = np.nan
    findings = fit_value_posterior(labels, predictions)
    missing = np.isnan(findings.scores)
    assert missing[0].all() and missing[1].tolist() == [True, False]
    assert missing.sum() == 3
    assert np.isfinite(findings.consensus).all()
    # The fewer labels, the less is known.
    deviations = findings.deviations[:, 0]
    assert deviations[0] > deviations[1] > deviations[3]
    assert deviations[2] == deviations[1]


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_labels(value):
    labels = np.full((50, 2, 1), value)
    findings = fit_value_posterior(labels, np.zeros((50, 1)))
    np.testing.assert_allclose(findings.consensus, value, atol=1e-6)
    assert (findings.scores > 0.5).all()


def test_a_single_label_does_not_tell_a_scale():
    """Nor does it make the others' labels worthless."""
    truth, labels, predictions = simulate(900, (0.0, 0.0), (0.2, 0.2))
    two = fit_value_posterior(labels, predictions)
    third = np.full((900, 1, 2), np.nan)
    # As far off as a standard deviation.
    third[7] = truth[7] + 0.2
    three = fit_value_posterior(np.append(labels, third, 1), predictions)
    assert 0.1 < three.scores[7, 2] < 0.9
    assert np.isnan(three.bias[2]).all()
    np.testing.assert_allclose(three.bias[:2], two.bias)
    np.testing.assert_allclose(three.spread[:2], two.spread, rtol=0.1)
    assert rmse(three.consensus, truth) < 1.02 * rmse(two.consensus, truth)
    third[7] = -np.sign(truth[7])
    wrong = fit_value_posterior(np.append(labels, third, 1), predictions)
    assert wrong.scores[7, 2] < 1e-3
    # Where there is no other, nothing speaks against it.
    labels[1:] = np.nan
    alone = fit_value_posterior(labels[:, :1], predictions)
    assert alone.scores[0, 0] > 0.3


def test_annotators_of_other_images_have_no_bias():
    _, labels, predictions = simulate(900, (0.1, -0.1), (0.2, 0.2))
    labels[::2, 0] = np.nan
    labels[1::2, 1] = np.nan
    findings = fit_value_posterior(labels, predictions)
    assert np.isnan(findings.bias).all()
    np.testing.assert_allclose(findings.spread, 0.2, atol=0.1)


def test_no_label_at_all_leaves_the_predictions():
    predictions = np.linspace(-1, 1, 10)[:, None]
    findings = fit_value_posterior(np.full((10, 2, 1), np.nan), predictions)
    np.testing.assert_array_equal(findings.consensus, predictions)
    assert np.isnan(findings.scores).all()
    assert np.isnan(findings.spread).all()
