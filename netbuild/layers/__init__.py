"""What is known of layer types, and what follows for a net: the shapes of its blobs and parameters.

`table` has a row for each type, and is the one place that names them; `of(layer)` is the row of a layer. Modules beside
it put questions to the rows: `arity`, `in_place`, `fillers`, `costs`, `roles`, `training`, and `inference`, which goes
through a phase of a net. All from the definition alone: no data is opened, Caffe's engine is not loaded.

A length that the definition does not tell (the size of the images in a list, say) is None and stays None in what
is computed from it; a shape of which not even the number of axes is known is None as a whole. The rules are those
of each layer's Reshape and LayerSetUp in BVLC Caffe 1.0.
"""

from .inference import (
    Fault,
    Inferred,
    Layers,
    infer,
    survey_layers,
    unclear_options,
    unknown_types,
)
from .lengths import Shape, any_batch_text
from .row import LayerType
from .table import of

__all__ = [
    "Fault",
    "Inferred",
    "LayerType",
    "Layers",
    "Shape",
    "infer",
    "any_batch_text",
    "of",
    "survey_layers",
    "unclear_options",
    "unknown_types",
]
