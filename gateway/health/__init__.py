"""Probes and incidents."""
