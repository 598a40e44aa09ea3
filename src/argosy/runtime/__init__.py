"""Starts, watches and ends the processes of attempts: :class:`argosy.runtime.runtime.Runtime`."""
