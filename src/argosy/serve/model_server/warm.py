"""Everything a model server imports and makes once, for the warm process that it is forked from.

Nothing here starts a thread: gRPC does so only with its first server.
"""

from __future__ import annotations

import grpc

from argosy.serve.model_server import grpc_messages, replica

grpc_messages.message_types()

__all__ = ["grpc", "replica"]
