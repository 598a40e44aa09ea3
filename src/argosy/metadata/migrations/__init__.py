"""Alembic's migrations of the metadata store."""
