"""Caffe's messages as facts, and the NetSpec that makes nets of them: no engine."""

from .messages import TEST, TRAIN, Message, schema

__all__ = ["TEST", "TRAIN", "Message", "schema"]
