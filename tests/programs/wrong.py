"""A user's program with a mistake in each call: each line ends in the code that mypy reports there."""

from typing import Any

import netbuild as nb

net: Any = None

nb.Branch("a", "fc1", net.fc1)  # call-arg
nb.Input((1, 28, 28), mean=128)  # arg-type
nb.qualify("odd")  # call-arg
nb.netspec("Convolution")  # call-arg
nb.Staged("net.prototxt", stage="deploy")  # call-arg
nb.prototxt("net.prototxt", sem="fc7")  # call-arg
nb.find_branch(nb.lenet)  # arg-type
nb.find_builder()  # call-arg
nb.lenet(net, net.data, frozn=True)  # call-arg
nb.alexnet(net, net.data, 3)  # arg-type
nb.caffenet(net)  # call-arg
nb.vgg(net, net.data, depth="16")  # arg-type
nb.vgg16(net, net.data, depth=16)  # call-arg
nb.vgg19(net, net.data, frozen="yes")  # arg-type
nb.googlenet(net)  # call-arg
nb.squeezenet1_0(net, net.data, "a", True)  # call-arg, misc
nb.squeezenet1_1(net, net.data, prefx="a")  # call-arg
nb.mobilenet_v1()  # call-arg
nb.mobilenet_v2(net, net.data, classes=10)  # call-arg
nb.resnet(net, net.data, depht=50)  # call-arg
nb.resnet18(net, net.data, None)  # arg-type
nb.resnet34(net)  # call-arg
nb.resnet50(net, net.data, frozen=3)  # arg-type
nb.resnet101(net, net.data, "a", depth=101)  # call-arg
nb.resnet152(bottom=net.data)  # call-arg
nb.Fusion({"odd": nb.lenet}, clases=10)  # call-arg
nb.BranchSpec("lenet")  # arg-type
nb.Join("mean", weight={"odd": 2})  # call-arg
nb.Head()  # call-arg
nb.build({"odd": nb.lenet})  # arg-type
nb.join(net)  # call-arg
nb.DataSource(resize=224)  # arg-type
nb.emit_files(nb.Fusion({"odd": nb.lenet}), nb.DataSource())  # call-arg
nb.read_net(3)  # arg-type
nb.read_solver()  # call-arg
nb.problems(3)  # arg-type
nb.summarize(net, sizes={"data": (1, 3, 8, 8)})  # call-arg
nb.differences("one.prototxt")  # call-arg
nb.draw_net(net, "net.svg", phase="TRAIN")  # arg-type
nb.fuse_weights("net.prototxt", "odd.caffemodel", "init.caffemodel")  # arg-type
nb.CopyOptions(map={"odd/conv1": "first"})  # call-arg
nb.HeadStart(5)  # arg-type
nb.check_sources()  # call-arg
nb.convert_weights("one.caffemodel", "one.h5", True)  # call-arg, misc
nb.extract_branch("odd", "net.prototxt", "init.caffemodel")  # call-arg
nb.weight_report(["odd.caffemodel"])  # arg-type
nb.copy_branch(net, "odd")  # call-arg
nb.verify_branches("net.prototxt", "init.caffemodel", {"odd": "odd.prototxt"})  # dict-item
nb.Original("odd.prototxt")  # call-arg
nb.compare_engines("net.prototxt", "odd.caffemodel", tolerence=1e-3)  # call-arg
nb.score_nets("net.prototxt", "list.txt")  # arg-type
nb.Scorer("net.prototxt")  # call-arg
nb.Preparation(mean=128)  # arg-type
nb.make_features("net.prototxt", "init.caffemodel")  # call-arg
nb.Execution(worker=2)  # call-arg
nb.Features(head_only="yes")  # arg-type
nb.train_solver("solver.prototxt", "run", maxiter=10)  # call-arg
nb.diagnose("0")  # arg-type
nb.using_caffe(["docker", "run"])  # arg-type
nb.gather_report()  # call-arg
nb.write_report("report.html", nb.gather_report("fused"))  # arg-type
nb.run_demo("out", iterations=5)  # call-arg
nb.blocks.conv(net, "conv1", net.data, num_output=4)  # call-arg
print(nb.train_solver("solver.prototxt", "run").acuracy)  # attr-defined
print(nb.Fuson)  # attr-defined
