"""The vault: seals with one key, opens with each that was given."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import OperatorError
from gateway.vault import sealing
from gateway.vault.errors import NOT_THE_KEY, CredentialDamaged, EncryptionKeyMissing, WrongEncryptionKey
from gateway.vault.keys import MasterKey, key_texts, master_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.settings import Settings

CANARY = "gateway"
CANARY_CONTEXT = "vault_secrets/canary"


class Header(NamedTuple):
    """What goes with everything that is sealed, wherever it is copied to; holds no secret."""

    salt: str
    """Base64: passphrases are stretched with it."""
    canary: str
    """A known text, sealed: who cannot open it has the wrong key."""


class Vault:
    """Secrets sealed and opened. Neither does I/O; each takes microseconds.

    `context` is where the secret lives, `table/row id`: it opens nowhere else.
    """

    def __init__(self, keys: Sequence[MasterKey]) -> None:
        self._first = keys[0] if keys else None
        self._keys = {key.id: key for key in keys}

    def __repr__(self) -> str:
        return f"<Vault keys={','.join(self._keys) or 'none'}>"

    @classmethod
    def from_settings(cls, settings: Settings, *, salt: bytes) -> Vault:
        """With the keys of the environment and of the data directory, or without any.

        Takes a good part of a second for each passphrase that was not used before in this process: call `opened` where
        a loop runs. Raises OperatorError for a key that cannot be used.
        """
        return cls([master_key(text, salt) for text in key_texts(settings)])

    @classmethod
    def with_header(cls, settings: Settings, header: Header) -> Vault:
        """As `from_settings`, proven on the header's canary. Raises OperatorError, which says what to do, for a wrong
        key."""
        vault = cls.from_settings(settings, salt=base64.b64decode(header.salt))
        vault.prove(header)
        return vault

    @classmethod
    async def opened(cls, settings: Settings, header: Header) -> Vault:
        """`with_header`, beside the loop."""
        return await asyncio.to_thread(cls.with_header, settings, header)

    @property
    def has_key(self) -> bool:
        """Whether anything can be sealed."""
        return self._first is not None

    @property
    def key_id(self) -> str:
        """The name of the key that seals. Raises EncryptionKeyMissing."""
        return self._sealing().id

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of every key that opens, the one that seals first."""
        return tuple(self._keys)

    def seal(self, plain: str, *, context: str) -> str:
        """Raises EncryptionKeyMissing."""
        return sealing.seal(self._sealing(), plain, context)

    def unseal(self, token: str, *, context: str) -> str:
        """Raises CredentialDamaged, WrongEncryptionKey, EncryptionKeyMissing."""
        key_id = sealing.key_id_of(token)
        if not self._keys:
            raise EncryptionKeyMissing
        key = self._keys.get(key_id)
        if key is None:
            raise WrongEncryptionKey(key_id)
        return sealing.unseal(key, token, context)

    def is_current(self, token: str) -> bool:
        """Whether it is sealed with the key that seals now."""
        return self._first is not None and sealing.is_sealed(token) and sealing.key_id_of(token) == self._first.id

    def canary(self) -> str:
        """The canary of the key that seals: always the same one. Raises EncryptionKeyMissing."""
        return sealing.seal(self._sealing(), CANARY, CANARY_CONTEXT, bytes(sealing.NONCE_BYTES))

    def prove(self, header: Header) -> None:
        """Raise OperatorError unless this vault opens what was sealed before. Without a key nothing is proven: what is
        sealed stays closed."""
        if not self._keys or not header.canary:
            return
        try:
            if self.unseal(header.canary, context=CANARY_CONTEXT) == CANARY:
                return
        except WrongEncryptionKey as error:
            raise OperatorError(
                f"{NOT_THE_KEY} that stored credentials are sealed with (theirs is {error.key_id}, "
                f"given: {', '.join(self._keys)}). Set the right key; to change it, set ENCRYPTION_KEY=new,old "
                "and run `gateway rotate-encryption-key`."
            ) from None
        except CredentialDamaged:
            pass
        raise OperatorError(
            "The canary of the stored credentials is damaged, so ENCRYPTION_KEY cannot be proven. "
            "Restore the table vault_secrets from a backup."
        )

    def _sealing(self) -> MasterKey:
        if self._first is None:
            raise EncryptionKeyMissing
        return self._first
