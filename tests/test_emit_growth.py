"""Emitting a fusion: one build for each form, no net surveyed twice, and work that grows with the branches."""

import pytest
from counting import lines_run

from netbuild import Branch, BranchSpec, DataSource, Fusion, Join, blocks, emit_files
from netbuild.branches.branch import Input
from netbuild.graph import view as views_of_nets
from netbuild.names import qualify
from netbuild.schema import netspec

IMAGES = Input((3, 6, 6))
LEARNS = {"frozen": False, "lr": 0.1}
OF_PROGRAM = DataSource(kind="input")


def small(net, bottom, prefix="", *, frozen=False, image=IMAGES):
    top = blocks.conv(net, qualify(prefix, "conv"), bottom, frozen=frozen, num_output=4, kernel_size=3)
    top = blocks.batch_norm_scale(net, qualify(prefix, "bn"), qualify(prefix, "scale"), top, frozen=frozen)
    top = blocks.relu(net, qualify(prefix, "relu"), top)
    top = blocks.fc(net, qualify(prefix, "fc"), top, 5, frozen=frozen)
    return Branch(prefix, "fc", top, 5, classifier="fc{classes}", classes=3, input=image)


def prepared_with(mean):
    def builder(net, bottom, prefix="", *, frozen=False):
        return small(net, bottom, prefix, frozen=frozen, image=Input((3, 6, 6), mean=(mean,)))

    return builder


def specs(count, **options):
    return {f"b{number}": BranchSpec(small, **options) for number in range(count)}


def of_own_inputs(count, shares=None):
    return {
        f"b{number}": BranchSpec(small, frozen=False, reads=f"x{number}", shares=shares if number else None)
        for number in range(count)
    }


FUSIONS = {
    "frozen": lambda count: Fusion(specs(count), 3),
    "at-rates": lambda count: Fusion(specs(count, **LEARNS), 3),
    "frozen-to": lambda count: Fusion(specs(count, **LEARNS, frozen_to="conv"), 3),
    "batch-norm": lambda count: Fusion(specs(count, frozen=False, batch_norm="batch"), 3),
    "ensemble": lambda count: Fusion(specs(count), join=Join("mean"), ensemble=True),
    "uneven": lambda count: Fusion({f"b{mean}": prepared_with(float(mean)) for mean in range(count)}, 3),
    "own-inputs": lambda count: Fusion(of_own_inputs(count), 3),
    "siamese": lambda count: Fusion(of_own_inputs(count, shares="b0"), 3),
    "in-front": lambda count: Fusion(
        {"front": BranchSpec(pixels), **{f"b{n}": BranchSpec(small, reads="front") for n in range(count)}}, 3
    ),
}


def pixels(net, bottom, prefix="", *, frozen=False):
    net[qualify(prefix, "same")] = netspec().layers.Power(bottom)
    return Branch(prefix, "same", net[qualify(prefix, "same")], 3, input=IMAGES)


@pytest.mark.parametrize("kind", FUSIONS)
def test_work_grows_with_the_branches(kind, tmp_path, caffe):
    """Of work that grows with their square, the second step of these is four times the first."""
    few, some, many = (
        lines_run(lambda count=count: emit_files(FUSIONS[kind](count), OF_PROGRAM, tmp_path / str(count)))
        for count in (6, 12, 24)
    )
    assert many - some < 2.3 * (some - few)


@pytest.mark.parametrize("kind", FUSIONS)
def test_no_net_is_surveyed_twice_in_one_state(kind, tmp_path, monkeypatch, caffe):
    states = []
    survey = views_of_nets.survey_layers

    def counted(layers, inputs=None):
        texts = [layer.SerializeToString(deterministic=True) for _, layer in layers]
        states.append((tuple(texts), tuple(sorted((inputs or {}).items()))))
        return survey(layers, inputs)

    monkeypatch.setattr(views_of_nets, "survey_layers", counted)
    emit_files(FUSIONS[kind](2), OF_PROGRAM, tmp_path)
    assert len(set(states)) == len(states) <= 10


def test_each_form_is_built_once(tmp_path, caffe):
    built = []

    def counted(*given, **options):
        built.append(1)
        return small(*given, **options)

    emit_files(Fusion({"a": counted, "b": counted}, 3), lambda _: OF_PROGRAM, tmp_path)
    # Two branches, in train_val and in deploy.
    assert len(built) == 4
