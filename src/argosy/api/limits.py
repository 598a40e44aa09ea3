"""Names and limits that both ends of the API keep to."""

from __future__ import annotations

MAXIMUM_REQUEST_BYTES = 32 * 2**20
VERSION_HEADER = "Argosy-Version"
HEARTBEAT_SECONDS = 5.0
"""A stream that has nothing to say sends an empty line this often, so that silence means a dead peer."""
