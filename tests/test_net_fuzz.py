"""Nets changed at random, by a seed: every command ends well or with a sentence, and Caffe builds what is sound."""

from random import Random

import net_oracle
import pytest
from net_mutation import mutated

pytestmark = pytest.mark.usefixtures("slim")


def test_commands_end_well_or_with_a_sentence(tmp_path):
    random, nets = Random(20), list(net_oracle.seeds())
    states = []
    for number in range(150):
        message = mutated(random.choice(nets), nets, random)
        found = net_oracle.judge(message, random.choice(nets), tmp_path, emits=number % 5 == 0)
        states.append(None if found is None else bool(found))
    assert {True, False} <= set(states)


def test_caffe_builds_what_check_finds_sound(caffe, tmp_path):
    random, nets = Random(21), list(net_oracle.seeds())
    path = tmp_path / "net.prototxt"
    for _ in range(80):
        message = mutated(random.choice(nets), nets, random)
        path.write_text(net_oracle.proto.to_text(message), encoding="utf-8")
        told = [text for is_crash, text in net_oracle.disagreements(caffe, message, path) if is_crash]
        assert not told, net_oracle.proto.to_text(message)


@pytest.mark.parametrize("index", range(0, 130, 13))
def test_the_seeds_are_sound(caffe, tmp_path, index):
    message = list(net_oracle.seeds())[index]
    assert net_oracle.judge(message, message, tmp_path, emits=False) == []
    assert not [*net_oracle.disagreements(caffe, message, tmp_path / "net.prototxt")]
