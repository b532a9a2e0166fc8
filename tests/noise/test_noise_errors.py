import functools

import numpy as np
import pytest

from keras_noisyfer import noise

pytestmark = pytest.mark.filterwarnings("error")

NAN = np.nan
IDS = np.array([0, 1, 2])
VALUES = np.zeros((3, 2))
CATEGORICAL = noise.CategoricalAnnotator()
CONTINUOUS = noise.ContinuousAnnotator()


@pytest.mark.parametrize(
    "argument, function, arguments",
    [
        ("rate", noise.flip_labels, (IDS, 3, 1.5)),
        ("rate", noise.flip_labels, (IDS, 3, NAN)),
        ("rate", noise.drop_labels, (IDS, -0.1)),
        ("mode", noise.flip_labels, (IDS, 3, 0.1, "inclusiv")),
        ("num_classes", noise.flip_labels, (IDS, 1, 0.1)),
        ("num_classes", noise.annotate, (IDS, [CATEGORICAL])),
        ("labels", noise.flip_labels, (IDS, 2, 0.1)),
        ("labels", noise.flip_labels, ([0, -2], 3, 0.1)),
        ("labels", noise.flip_labels, ([0.0, 1.0], 3, 0.1)),
        ("labels", noise.flip_labels, ([True, False], 3, 0.1)),
        ("labels", noise.flip_labels, (IDS[:, None], 3, 0.1)),
        ("labels", noise.flip_labels, (IDS[:0], 3, 0.1)),
        ("seed", noise.flip_labels, (IDS, 3, 0.1, "exclusive", None, -1)),
        ("seed", noise.drop_labels, (IDS, 0.1, None)),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs")),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 3)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 0)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "pairs", [(0, 1), (1, 2)])),
        ("pairs", noise.flip_labels, (IDS, 4, 0.1, "pairs", [(0, 1, 2), (3,)])),
        ("pairs", noise.flip_labels, (IDS, 3, 0.1, "exclusive", [(0, 1)])),
        ("values", noise.perturb_values, (IDS[:, None],)),
        ("values", noise.perturb_values, (VALUES[:, 0],)),
        ("values", noise.perturb_values, (VALUES - 2,)),
        ("values", noise.mean_vote, (VALUES,)),
        ("bias", noise.perturb_values, (VALUES, (0.1, 0.1, 0.1))),
        ("bias", noise.perturb_values, (VALUES, NAN)),
        ("standard_deviation", noise.perturb_values, (VALUES, 0.0, -0.1)),
        ("labels", noise.majority_vote, (IDS, 3)),
        ("labels", noise.majority_vote, ([[0, 3]], 3)),
        ("rate", noise.CategoricalAnnotator, (20,)),
        ("mode", noise.CategoricalAnnotator, (0.2, "other")),
        ("pairs", noise.CategoricalAnnotator, (0.2, "pairs")),
        ("missing", noise.CategoricalAnnotator, (0.2, "exclusive", None, 5)),
        (
            "missing",
            functools.partial(noise.ContinuousAnnotator, missing=-1),
            (),
        ),
        ("annotators", noise.annotate, (IDS, [], 3)),
        ("annotators", noise.annotate, (IDS, [CATEGORICAL, CONTINUOUS], 3)),
        ("annotators", noise.annotate, (IDS, [0.2], 3)),
        ("labels", noise.annotate, (VALUES, [CATEGORICAL], 3)),
        ("values", noise.annotate, (IDS, [CONTINUOUS])),
        ("labels", noise.realised_noise, (IDS[:2], IDS)),
        ("labels", noise.realised_noise, (IDS, VALUES)),
        ("labels", noise.realised_noise, (VALUES, IDS)),
        ("labels", noise.realised_noise, (np.stack([IDS] * 2, 1),) * 2),
        ("labels", noise.realised_noise, (np.zeros((3, 2, 2)),) * 2),
        ("labels", noise.realised_noise, (np.zeros((3, 2, 3)), VALUES)),
        ("labels", noise.realised_noise, (IDS, np.stack([IDS] * 2, 1))),
    ],
)
def test_bad_input_names_the_argument(argument, function, arguments):
    with pytest.raises(ValueError) as error:
        function(*arguments)
    message = str(error.value)
    assert message.startswith(f"`{argument}` must") or argument == "pairs"
    assert f"`{argument}`" in message and "Received: " in message
    assert "\n" not in message
