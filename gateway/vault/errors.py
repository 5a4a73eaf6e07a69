"""Why a secret cannot be sealed or opened."""

from __future__ import annotations

NOT_THE_KEY = "ENCRYPTION_KEY is not the key"
"""How every word about a wrong one begins."""


class VaultError(Exception):
    """A secret cannot be had. The text names no secret, and says what to do."""


class CredentialDamaged(VaultError):
    """The record was changed, moved from another row, or cut short: this one record is lost, and no other."""

    def __init__(self) -> None:
        super().__init__("the stored secret is damaged or belongs to another record (store it again)")


class WrongEncryptionKey(VaultError):
    """What is stored was sealed with a key that is not among those given."""

    def __init__(self, key_id: str = "") -> None:
        which = f" ({key_id})" if key_id else ""
        super().__init__(
            f"{NOT_THE_KEY}{which} that this secret is sealed with "
            "(add that key after the new one: ENCRYPTION_KEY=new,old)"
        )
        self.key_id = key_id


class EncryptionKeyMissing(VaultError):
    """There is no key, so no secret can be stored, and none that is stored can be used."""

    def __init__(self) -> None:
        super().__init__(
            "ENCRYPTION_KEY is not set, so no secret can be stored (set it to the output of "
            "`openssl rand -base64 32 | tr '+/' '-_'`, or refer to the secret with env: or file:)"
        )
