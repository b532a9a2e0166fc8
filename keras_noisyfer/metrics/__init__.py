"""Metrics of the consensus prediction, and its calibration.

Missing labels have no part in them, and without any label they are NaN.
"""

from keras_noisyfer.metrics.by_task import (
    LabelMetric,
    check_log_names,
    make_metrics,
    metric_results,
    metrics_for,
    monitor_modes,
)
from keras_noisyfer.metrics.calibration import (
    expected_calibration_error,
    reliability,
)
from keras_noisyfer.metrics.consensus import (
    Accuracy,
    ConcordanceCorrelation,
    LabelledMean,
    MeanSquaredError,
)

__all__ = [
    "Accuracy",
    "ConcordanceCorrelation",
    "LabelMetric",
    "LabelledMean",
    "MeanSquaredError",
    "check_log_names",
    "expected_calibration_error",
    "make_metrics",
    "metric_results",
    "metrics_for",
    "monitor_modes",
    "reliability",
]
