"""The command line, as a user calls it."""

import os

from click.testing import CliRunner
from netbuild_cli.main import main


def run(*arguments, code=0):
    """Call netbuild and return what it prints; an error of it never is a traceback."""
    result = CliRunner().invoke(main, list(map(os.fspath, arguments)))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result
