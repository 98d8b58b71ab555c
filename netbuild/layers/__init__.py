"""Shapes of blobs and parameters, from the definition alone: no data is opened, Caffe's engine is not loaded.

A length that the definition does not tell (the size of the images in a list, say) is None and stays None in what
is computed from it; a shape of which not even the number of axes is known is None as a whole. The rules are those
of each layer's Reshape and LayerSetUp in BVLC Caffe 1.0.
"""

from .inference import (
    Fault,
    Inferred,
    Layers,
    faults,
    infer,
    parameter_shapes,
    survey,
    survey_layers,
    unknown_types,
    unknown_types_of,
)
from .lengths import Shape, any_batch_text

__all__ = [
    "Fault",
    "Inferred",
    "Layers",
    "Shape",
    "faults",
    "infer",
    "parameter_shapes",
    "any_batch_text",
    "survey",
    "survey_layers",
    "unknown_types",
    "unknown_types_of",
]
