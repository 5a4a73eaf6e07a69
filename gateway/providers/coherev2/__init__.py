"""Cohere's API, version 2: bodies, not addresses."""
