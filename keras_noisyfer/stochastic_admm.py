"""Stochastic ADMM for a linear softmax with a group norm an image."""

import tensorflow as tf

from keras_noisyfer.losses import sparse_categorical_crossentropy
from keras_noisyfer.typing import Tensor, Weights

_PENALTY_GROWTH = 1.1


class StochasticADMM:
    """Solves the problem of one label stream, `AIR`.

    Minimizes over the weights W of shape `(features, num_classes)`

    `mean CE(x W, labels) + weight_decay / (2 K) ||W||^2
    + group_weight / (n K) sum_ik ||v_ik|| / sqrt(nnz(x_i))`

    subject to `v = M W`, `v_ik = diag(x_i) w_k`, with n images and K classes.
    Everything is scaled by n K, as in the authors' code: the multipliers u
    and the penalty rho belong to that scale. `M^T M` is diagonal, so that the
    step in W is elementwise. One iteration k, with `eta = 2 / (k + 2)`:

    ```
    W <- (W / eta - gradient + M^T (rho v + u)) / (rho M^T M + 1 / eta)
    v <- soft threshold of M W - u / rho, group by group,
         at group_weight / (sqrt(nnz) rho)
    u <- u - rho (M W - v)
    average <- (1 - eta) average + eta W
    ```

    Of v only `M^T v` is needed from one iteration to the next, so that u
    alone is kept: n * K * features numbers.

    Args:
        features: Features of the images, shape `(n, features)`.
        labels: Class ids, -1 where missing, shape `(n,)`.
        weights: Weights to start from, shape `(features, num_classes)`.
        group_weight: Weight of the group norms.
        weight_decay: Weight of the squared norm of W.
        penalty: rho before the first iteration; each one multiplies it by
            1.1.
        max_penalty: Largest rho.
        sample_weight: Optional weights of the images in the mean, shape
            `(n,)`.

    Attributes:
        weights: The last iterate of W.
        average: The average of the iterates, which is the solution.
        multipliers: u, shape `(n, num_classes, features)`.
        penalty: rho of the last iteration.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        weights: Tensor,
        group_weight: float,
        weight_decay: float,
        penalty: float,
        max_penalty: float,
        sample_weight: Weights = None,
    ):
        self.features = tf.convert_to_tensor(features, "float32")
        self.labels = tf.convert_to_tensor(labels, "int32")
        self.sample_weight = sample_weight
        self.weight_decay = weight_decay
        self.max_penalty = max_penalty

        self.count = float(self.features.shape[0])
        self.squares = tf.reduce_sum(self.features**2, axis=0)[:, None]
        nonzeros = tf.math.count_nonzero(
            self.features, axis=1, keepdims=True, dtype="float32"
        )
        self.thresholds = group_weight / tf.sqrt(tf.maximum(nonzeros, 1.0))

        self.weights = tf.Variable(weights, dtype="float32", trainable=False)
        self.average = tf.Variable(self.weights, trainable=False)
        self.num_classes = self.weights.shape[1]
        # The multipliers that belong to v = M W: minus the gradient of the
        # group norms, so that a solver started at the solution stays there.
        products = self._products()
        norms = tf.norm(products, axis=2)
        scale = tf.math.divide_no_nan(self.thresholds, norms)
        multipliers = -scale[..., None] * products
        self.multipliers = tf.Variable(multipliers, trainable=False)
        self.pulled_v = tf.Variable(
            self.squares * self.weights, trainable=False
        )
        self.pulled_u = tf.Variable(self._pull(multipliers), trainable=False)
        self.penalty = tf.Variable(float(penalty), trainable=False)
        self.iterations = tf.Variable(0.0, trainable=False)

    def step(
        self, features: Tensor, labels: Tensor, sample_weight: Weights = None
    ) -> None:
        """One iteration.

        Args:
            features: Features of a batch, shape `(batch_size, features)`.
            labels: Its class ids, -1 where missing, shape `(batch_size,)`.
            sample_weight: The weights of its images, likewise, or None.
        """
        k = self.iterations.assign_add(1.0)
        rate = 2.0 / (k + 2.0)
        penalty = self.penalty.assign(
            tf.minimum(_PENALTY_GROWTH * self.penalty, self.max_penalty)
        )

        # === W ===
        with tf.GradientTape() as tape:
            tape.watch(self.weights)
            loss = self._crossentropy(
                features, labels, sample_weight, self.weights
            )
        gradient = self.count * (
            self.num_classes * tape.gradient(loss, self.weights)
            + self.weight_decay * self.weights
        )
        weights = self.weights.assign(
            (
                self.weights / rate
                - gradient
                + penalty * self.pulled_v
                + self.pulled_u
            )
            / (penalty * self.squares + 1.0 / rate)
        )
        self.average.assign_add(rate * (weights - self.average))

        # === v and u ===
        target = self._products() - self.multipliers / penalty
        kept = shrinkage(tf.norm(target, axis=2), self.thresholds / penalty)[
            ..., None
        ]
        self.pulled_v.assign(self._pull(kept * target))
        # u - rho (M W - v) is rho (v - target).
        multipliers = self.multipliers.assign(penalty * (kept - 1.0) * target)
        self.pulled_u.assign(self._pull(multipliers))

    def objective(self) -> Tensor:
        """What is minimized, over all images, at the averaged weights."""
        weights = self.average
        norms = group_norms(self.features, weights)
        return (
            self._crossentropy(
                self.features, self.labels, self.sample_weight, weights
            )
            + self.weight_decay
            / (2.0 * self.num_classes)
            * tf.reduce_sum(weights**2)
            + tf.reduce_sum(self.thresholds * norms)
            / (self.count * self.num_classes)
        )

    def _crossentropy(self, features, labels, sample_weight, weights):
        logits = tf.matmul(features, weights)
        return sparse_categorical_crossentropy(
            labels[:, None], logits[:, None], sample_weight
        )[0]

    def _products(self):
        """M W, shape `(n, num_classes, features)`."""
        return self.features[:, None, :] * tf.transpose(self.weights)

    def _pull(self, groups):
        """M^T of something of M W's shape."""
        pulled = tf.reduce_sum(self.features[:, None, :] * groups, axis=0)
        return tf.transpose(pulled)


def shrinkage(norms: Tensor, thresholds: Tensor) -> Tensor:
    """The factors by which group soft-thresholding scales its groups.

    `max(1 - threshold / norm, 0)`; 1 for a group of zeros.
    """
    return tf.maximum(1.0 - tf.math.divide_no_nan(thresholds, norms), 0.0)


def group_norms(features: Tensor, weights: Tensor) -> Tensor:
    """`||diag(x_i) w_k||` of each image and class, `(n, num_classes)`."""
    return tf.sqrt(tf.matmul(features**2, weights**2))
