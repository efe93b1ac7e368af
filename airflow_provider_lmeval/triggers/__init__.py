"""Waiting for a run without holding a worker slot."""
