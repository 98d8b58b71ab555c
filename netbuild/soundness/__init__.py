"""Soundness of a net's data before a run: lists, labels, images and mean files that Caffe would stumble over."""
