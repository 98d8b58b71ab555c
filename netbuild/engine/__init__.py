"""The door to Caffe, and the processes behind it in which Caffe may abort."""
