"""Metrics and logs: observers of facts."""
