"""Builders: functions that write a known net's feature part into a NetSpec, one file each.

A builder is any function of the form

    def builder(net, bottom, prefix="", *, frozen=False) -> Branch

It names every layer and blob by `names.qualify(prefix, ...)` and returns the Branch whose `top` is its seam. The
table in `table.py` is for the command line's sake; the Python API takes any function.
"""
