"""Weight files, with no Caffe loaded: index a file, plan what goes where, copy the bytes."""
