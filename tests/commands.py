"""The command line, as a user calls it."""

import os

from click.testing import CliRunner
from netbuild_cli.main import main


def invoke(*arguments, code=0):
    """Call netbuild and return click's result; an error of a user's never is a traceback. `code` None: ends as it may."""
    result = CliRunner().invoke(
        main, [os.fspath(one) if isinstance(one, os.PathLike) else str(one) for one in arguments]
    )
    assert code is None or result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def run(*arguments, code=0):
    """Call netbuild and return all that it prints."""
    return invoke(*arguments, code=code).output
