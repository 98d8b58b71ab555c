"""`python -m netbuild`: the command, for where no scripts are on PATH. No part of the library imports this."""

from netbuild_cli.main import main

if __name__ == "__main__":
    main()
