"""`python -m navarch`: the command line, where no script was installed."""

from navarch.cli.main import run

run()
