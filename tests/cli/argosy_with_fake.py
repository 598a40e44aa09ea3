"""The argosy command, starting the fake control plane where it would start the real one."""

from argosy.cli.main import main
from argosy.client import bootstrap

bootstrap.CONTROL_MODULE = "fake_control"
main()
