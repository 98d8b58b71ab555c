"""Weights against a net: what is copied where, whence it came, and the head that begins anew."""
