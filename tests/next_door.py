"""What tests ask of pycaffe, where Caffe is next door: nets and solvers that a process there keeps, with their values.

A value is fetched when it is looked at, sent back before Caffe computes if a test has changed it, and fetched again
afterwards into the same array: a test sees what it would see of pycaffe. What there is not is a reason to skip.
"""

import os
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from asking import Question, ask

from netbuild.engine.child import _Child, _Events, apart
from netbuild.errors import CaffeError
from netbuild.schema import TEST, TRAIN, netspec, schema

_FACTS = ("inputs", "outputs", "blob_loss_weights", "bottom_names", "top_names", "_layer_names")


def _lacks(name):
    # Imported here, as the process that has Caffe imports this module too.
    import pytest

    pytest.skip(f"{name} is pycaffe's own: this Python has no Caffe in it")


class Blob:
    """An array of values and one of gradients."""

    def __init__(self, net, *place):
        # The net is there for as long as one of its blobs.
        self._net, self._ask, self._place = net, net._ask, (net._number, *place)
        self.kept = {}
        """For each array that was looked at: the array, and a copy as Caffe has it."""

    def _array(self, kind):
        if kind not in self.kept:
            found = self._ask("value", *self._place, kind)
            self.kept[kind] = found, found.copy()
        return self.kept[kind][0]

    data = property(lambda self: self._array("data"), lambda self, value: self._array("data").__setitem__(..., value))
    diff = property(lambda self: self._array("diff"), lambda self, value: self._array("diff").__setitem__(..., value))
    shape = property(lambda self: self._array("data").shape)
    count = property(lambda self: self._array("data").size)

    def reshape(self, *lengths):
        self._ask("reshape", *self._place, lengths)
        self.kept.clear()

    def __getattr__(self, name):
        _lacks(f"Blob.{name}")

    def send(self):
        """Let Caffe have what a test has changed."""
        for kind, (array, copy) in self.kept.items():
            if array.tobytes() != copy.tobytes():
                self._ask("fill", *self._place, kind, np.ascontiguousarray(array))

    def fetch(self):
        """Take what Caffe has by now."""
        for kind, (array, _) in list(self.kept.items()):
            found = self._ask("value", *self._place, kind)
            if found.shape == array.shape:
                array[...] = found
                found = array
            self.kept[kind] = found, found.copy()


class Net:
    """A net of Caffe's."""

    def __init__(self, ask, number):
        self._ask, self._number = ask, number
        names, params, types, facts = ask("facts", number)
        vars(self).update(facts)
        self.layers = [SimpleNamespace(type=kind) for kind in types]
        self.blobs = {name: Blob(self, "blobs", name, None) for name in names}
        self.params = {name: [Blob(self, "params", name, index) for index in range(count)] for name, count in params}

    def __getattr__(self, name):
        if name == "test_nets":  # by which a solver is known for one
            raise AttributeError(name)
        _lacks(f"Net.{name}")

    def every_blob(self):
        return [*self.blobs.values(), *(blob for blobs in self.params.values() for blob in blobs)]

    def _do(self, name, *arguments):
        for blob in self.every_blob():
            blob.send()
        found = self._ask("do", self._number, name, *arguments)
        for blob in self.every_blob():
            blob.fetch()
        return found

    def forward(self, **values):
        for name, value in values.items():
            self.blobs[name].data[...] = value
        self._do("forward")
        return {name: self.blobs[name].data for name in self.outputs}

    def backward(self):
        self._do("backward")

    def reshape(self):
        self._do("reshape")

    def save(self, path):
        self._do("save", os.fspath(path))

    def save_hdf5(self, path):
        self._do("save_hdf5", os.fspath(path))

    def copy_from(self, path):
        self._do("copy_from", os.fspath(path))


class Solver:
    """A solver of Caffe's, and its nets."""

    def __init__(self, ask, number):
        self._ask, self._number = ask, number
        self.net, *self.test_nets = (Net(ask, one) for one in ask("nets", number))

    iter = property(lambda self: self._ask("get", self._number, "iter"))

    def __getattr__(self, name):
        if name not in ("step", "solve", "restore", "snapshot"):
            _lacks(f"Solver.{name}")

        def act(*arguments):
            nets = [self.net, *self.test_nets]
            blobs = [blob for net in nets for blob in net.every_blob()]
            for blob in blobs:
                blob.send()
            self._ask("do", self._number, name, *arguments)
            for blob in blobs:
                blob.fetch()

        return act


class Caffe:
    """The module."""

    TRAIN, TEST = TRAIN, TEST

    def __init__(self):
        self._gone, self._made, self._process = [], 0, None

    def _ask(self, *request):
        asked = (str(Path.cwd()), [self._gone.pop() for _ in range(len(self._gone))], *request)
        if self._process is None:
            self._process = _Child("next_door:serve", None, None)
            self._process.hear()
            self._process.begin({}, coming="tasks")
        self._process.send(asked)
        answer = next(_Events(self._process.events), self)
        if answer is self:
            # It is gone, and the nets in it.
            self._process.process.wait()
            words = self._process.last_words()
            self.close()
            raise words
        return answer

    def _kept(self, kind, name, *arguments, **named):
        self._made += 1
        self._ask("make", self._made, name, arguments, named)
        made = kind(self._ask, self._made)
        weakref.finalize(made, self._gone.append, self._made)
        return made

    def Net(self, *arguments, **named):
        return self._kept(Net, "Net", *(one if isinstance(one, int) else str(one) for one in arguments), **named)

    def get_solver(self, path):
        return self._kept(Solver, "get_solver", str(path))

    SGDSolver = get_solver

    def set_random_seed(self, seed):
        self._ask("call", "set_random_seed", seed)

    def layer_type_list(self):
        return self._ask("call", "layer_type_list")

    def shapes_or_words(self, path, phase):
        """(blobs, parameters) by name of a net that may make Caffe abort, or what it says then."""
        return self._ask("shapes_or_words", os.fspath(path), phase)

    def answer(self, question):
        """What Caffe makes of a net (asking.Question), as the fields of an Answer."""
        return self._ask("answer", question)

    @property
    def proto(self):
        return type("proto", (), {"caffe_pb2": schema()})

    def __getattr__(self, name):
        if name in ("layers", "params", "NetSpec", "to_proto"):
            return getattr(netspec(), name)
        if name.startswith("hypothesis") or name.endswith("_example"):  # what hypothesis looks for in each argument
            raise AttributeError(name)
        return _lacks(name)

    def fork(self):
        """Let a fork of the process do what comes."""
        self._ask("fork")

    def join(self):
        """End the fork; where it has died, its process is gone already."""
        if self._process is not None:
            self._ask("join")

    def close(self):
        """End the process."""
        if self._process is not None:
            self._process.__exit__()
            self._process = None


def aside(caffe, work):
    """What `work()` yields with Caffe in a fork, which it may leave dead or with damaged memory."""
    if not isinstance(caffe, Caffe):
        return apart(work)
    caffe.fork()
    try:
        return iter(list(work()))
    finally:
        caffe.join()


def serve(tasks):
    """Do what is asked in the process that has Caffe."""
    server = _Server()
    for folder, gone, name, *arguments in tasks:
        os.chdir(folder)
        for number in gone:
            server.kept.pop(number, None)
        yield getattr(server, name)(*arguments)


class _Server:
    def __init__(self):
        from netbuild.engine.caffe import caffe

        self.caffe = caffe()
        self.kept = {}

    def make(self, number, name, arguments, named):
        self.kept[number] = getattr(self.caffe, name)(*arguments, **named)

    def fork(self):
        fork = os.fork()
        if fork and os.waitpid(fork, 0)[1]:
            # Its last words are in the log.
            os._exit(1)
        return

    def join(self):
        # The process that waits for this fork answers.
        os._exit(0)

    def call(self, name, *arguments):
        found = getattr(self.caffe, name)(*arguments)
        return None if found is None else list(found)

    def facts(self, number):
        net = self.kept[number]
        facts = {name: _plain(getattr(net, name)) for name in _FACTS}
        params = [(name, len(blobs)) for name, blobs in net.params.items()]
        return list(net.blobs), params, [layer.type for layer in net.layers], facts

    def nets(self, number):
        solver = self.kept[number]
        made = {(number, index): net for index, net in enumerate([solver.net, *solver.test_nets])}
        self.kept.update(made)
        return list(made)

    def blob(self, number, kind, name, index):
        found = getattr(self.kept[number], kind)[name]
        return found if index is None else found[index]

    def value(self, number, kind, name, index, part):
        return np.array(getattr(self.blob(number, kind, name, index), part))

    def fill(self, number, kind, name, index, part, values):
        getattr(self.blob(number, kind, name, index), part)[...] = values

    def reshape(self, number, kind, name, index, lengths):
        self.blob(number, kind, name, index).reshape(*lengths)

    def get(self, number, name):
        return getattr(self.kept[number], name)

    def answer(self, question):
        return tuple(ask(self.caffe, Question(*question)))

    def shapes_or_words(self, path, phase):
        def build():
            net = self.caffe.Net(path, phase)
            shapes = {name: tuple(blob.data.shape) for name, blob in net.blobs.items()}
            yield shapes, {name: [tuple(one.data.shape) for one in blobs] for name, blobs in net.params.items()}

        try:
            return next(apart(build))
        except CaffeError as error:
            return str(error)

    def do(self, number, name, *arguments):
        getattr(self.kept[number], name)(*arguments)


def _plain(value):
    if hasattr(value, "items"):
        return {key: _plain(one) for key, one in value.items()}
    return value if isinstance(value, (str, int, float)) else [_plain(one) for one in value]
