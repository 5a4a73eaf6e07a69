"""Encryption of stored credentials."""
