"""The proof: a branch alone against the branch inside the fused net, on the same input, in real Caffe."""
