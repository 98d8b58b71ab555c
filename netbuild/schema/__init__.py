"""Caffe's messages as facts, and the NetSpec that makes nets of them: no engine."""

from .messages import CARRIED, TEST, TRAIN, Message, is_repeated, schema, values_of
from .programs import netspec

__all__ = ["CARRIED", "TEST", "TRAIN", "Message", "is_repeated", "netspec", "schema", "values_of"]
