"""Attacks: what happened to others, and to ours."""
