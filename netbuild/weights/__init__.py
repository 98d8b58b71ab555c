"""Weight files as bytes, with no net and no Caffe: recognised, indexed, copied, written."""
