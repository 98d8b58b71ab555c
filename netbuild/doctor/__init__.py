"""What the Caffe at hand is, and whether it computes what netbuild relies on."""
