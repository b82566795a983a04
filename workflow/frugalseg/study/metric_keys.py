"""Keys of blocks that name a metric; apart from the others, so that what trains a model does not depend on metrics."""

from frugalseg.study.keys import one_of
from frugalseg.study.metrics import METRICS, OF_IMAGES

Metric = one_of(OF_IMAGES)
ShownMetric = one_of(METRICS)
