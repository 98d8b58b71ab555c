"""Training and evaluation with Caffe's own solver, in a child process."""
