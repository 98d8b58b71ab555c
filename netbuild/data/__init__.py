"""Training data: image files, the lists that name them, and images made from MNIST or from scikit-learn's digits."""
