"""Training data: data layers, list files, and images made from MNIST or from scikit-learn's digits."""
