"""What nets answer to the images of a list, in real Caffe, and how often they are right."""
