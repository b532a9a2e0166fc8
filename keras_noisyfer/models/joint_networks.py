"""How the joint-distribution GAN's networks and scores fit together."""

from keras_noisyfer.arguments import check_number


def fit_network(argument, network, network_class, encoder):
    """A decoder or discriminator that fits an encoder.

    Args:
        argument: Name of the argument that the network was given as.
        network: The network, or None for a new one.
        network_class: `Decoder` or `Discriminator`.
        encoder: An `Encoder`.

    Raises:
        ValueError: if the network does not fit the encoder.
    """
    expected = {
        name: getattr(encoder, name)
        for name in ("tasks", "image_shape", "noise_code_size")
    }
    if network is None:
        return network_class(
            **expected, width=encoder.width, dtype=encoder.dtype_policy
        )
    if not isinstance(network, network_class):
        raise ValueError(
            f"`{argument}` must be a {network_class.__name__}. "
            f"Received: {type(network).__name__}"
        )
    for name, value in expected.items():
        if getattr(network, name) != value:
            raise ValueError(
                f"`{argument}` must have the encoder's {name}={value}. "
                f"Received: {getattr(network, name)}"
            )
    return network


def normalize_score_weights(names, score_weights, use_joint, use_marginal):
    """Weights of the discriminator's scores that add up to 1.

    Args:
        names: Names of the scores, in order.
        score_weights: Dict of weights by name; 1 where not given.
        use_joint: Whether the joint score takes part.
        use_marginal: Whether the other scores take part.

    Returns:
        List of weights, in order.

    Raises:
        ValueError: if a name or a weight is wrong, or no score is left.
    """
    if not isinstance(score_weights, dict):
        raise ValueError(
            "`score_weights` must be a dict by score name. "
            f"Received: {score_weights!r}"
        )
    unknown = sorted(set(score_weights) - set(names))
    if unknown:
        raise ValueError(
            f"`score_weights` may only have the keys {list(names)}. "
            f"Received: keys={unknown}"
        )
    weights = []
    for name in names:
        used = use_joint if name == "joint" else use_marginal
        weight = score_weights.get(name, 1.0)
        check_number(f"score_weights['{name}']", weight, minimum=0)
        weights.append(weight if used else 0.0)
    if sum(weights) == 0:
        raise ValueError(
            "`use_joint_score`, `use_marginal_scores` and "
            "`score_weights` must leave at least one score. Received: "
            f"{use_joint}, {use_marginal}, {score_weights}"
        )
    return [weight / sum(weights) for weight in weights]
