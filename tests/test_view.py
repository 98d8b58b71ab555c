"""netbuild view: Netron serves the file on this machine until it is told to end."""

import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest
from commands import invoke
from nets import small


@contextmanager
def serving_until_told(command):
    """A process that Ctrl-C reaches, also where these tests themselves run in the background."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes) as serving:
        try:
            yield serving
        finally:
            serving.kill()


@pytest.fixture()
def prototxt(in_tmp):
    (in_tmp / "net.prototxt").write_text(small())
    return in_tmp / "net.prototxt"


def test_the_file_is_served_until_ctrl_c(prototxt):
    pytest.importorskip("netron", reason="Netron is not installed")
    command = [sys.executable, "-m", "netbuild_cli.main", "view", "net.prototxt", "--no-browser"]
    with serving_until_told(command) as serving:
        lines = iter(serving.stdout.readline, "")
        address = next(line for line in lines if "Ctrl-C ends it" in line).split()[0]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert "Netron" in answer.read().decode()
        with urllib.request.urlopen(f"{address}/data/net.prototxt", timeout=30) as answer:
            assert answer.read() == prototxt.read_bytes()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0
        assert "Traceback" not in serving.stderr.read()


def test_what_is_no_file_of_caffe(prototxt):
    prototxt.rename("net.txt")
    assert "Netron knows a Caffe file by its suffix, one of .prototxt" in invoke("view", "net.txt", code=1).output
    assert "no such file" in invoke("view", "gone.prototxt", code=1).output


def test_a_port_that_is_taken(prototxt):
    pytest.importorskip("netron", reason="Netron is not installed")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = invoke("view", "net.prototxt", "--no-browser", "--port", str(port), code=1).output
    assert f"port {port}: cannot be listened on (Address already in use); choose another --port" in told


def test_without_netron(prototxt, monkeypatch):
    monkeypatch.setitem(sys.modules, "netron", None)
    assert "viewing needs netron: pip install netron" in invoke("view", "net.prototxt", code=1).output
