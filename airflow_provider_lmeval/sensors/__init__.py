"""Waiting for runs that another task has started."""
