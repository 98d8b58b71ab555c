"""All self-tests, by name."""

from __future__ import annotations

from .layers import LAYERS
from .training import TRAINING

SELF_TESTS = {test.name: test for test in (*LAYERS, *TRAINING)}
