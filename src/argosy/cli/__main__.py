"""``python -m argosy.cli``: the ``argosy`` command."""

from argosy.cli.main import main

main()
