"""Run by Alembic: migrates the connection it is handed."""

from __future__ import annotations

from alembic import context

from argosy.metadata.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
