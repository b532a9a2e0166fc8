"""Learning from noisy multi-task labels with Keras 3."""
