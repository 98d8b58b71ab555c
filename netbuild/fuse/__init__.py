"""Weights against a net: what is copied where, where it came from, and the head that begins as its branches' own."""
