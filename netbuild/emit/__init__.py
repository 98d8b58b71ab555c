"""A net as files: data layers that feed it, its prototxts and its solver."""
