"""Secrets at rest: sealed with a key that the database does not hold, each bound to the row that it belongs to.

Importing this loads no cryptography and no database driver; `gateway.vault.custody` and `gateway.vault.rotation` need
SQL.
"""

from __future__ import annotations

from gateway.vault.errors import CredentialDamaged, EncryptionKeyMissing, VaultError, WrongEncryptionKey
from gateway.vault.keys import key_texts
from gateway.vault.vault import Header, Vault

__all__ = [
    "CredentialDamaged",
    "EncryptionKeyMissing",
    "Header",
    "Vault",
    "VaultError",
    "WrongEncryptionKey",
    "key_texts",
]
