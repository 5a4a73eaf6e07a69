"""Secrets that are sealed open unchanged, in their own place, with their own key, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OperatorError
from gateway.vault import CredentialDamaged, EncryptionKeyMissing, Header, Vault, VaultError, WrongEncryptionKey
from gateway.vault.keys import master_key
from gateway.vault.sealing import is_sealed, key_id_of
from tests.vault.conftest import fernet_key

OLD, NEW, OTHER = (master_key(fernet_key(), b"") for _ in range(3))
VAULT = Vault([NEW, OLD])
CONTEXT = "credentials/1"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS, TEXTS)
def test_what_is_sealed_opens(plain: str, context: str) -> None:
    """Every text, in every context; the token is short ASCII that holds neither."""
    token = VAULT.seal(plain, context=context)
    assert VAULT.unseal(token, context=context) == plain
    assert is_sealed(token)
    assert token.startswith(f"gwv1.{NEW.id}.")
    assert len(token) == 22 + -(-(12 + len(plain.encode()) + 16) * 8 // 6)


def test_no_two_tokens_are_alike() -> None:
    """The same secret twice cannot be told from two."""
    assert len({VAULT.seal("sk-1", context=CONTEXT) for _ in range(200)}) == 200


@given(st.data())
def test_every_changed_byte_is_refused(data: st.DataObject) -> None:
    """Whatever character is changed to whatever other: the token opens nothing."""
    token = VAULT.seal("sk-canary-5512", context=CONTEXT)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(max_codepoint=0x24F).filter(lambda c: c != token[place]))
    with pytest.raises(VaultError):
        VAULT.unseal(token[:place] + other + token[place + 1 :], context=CONTEXT)


def test_every_bit_is_refused() -> None:
    """Every single bit of the text, and the spare bits of base64's last letter, too."""
    token = VAULT.seal("sk-canary-5512x", context=CONTEXT)
    for place in range(len(token)):
        for bit in range(7):
            changed = token[:place] + chr(ord(token[place]) ^ (1 << bit)) + token[place + 1 :]
            with pytest.raises(VaultError):
                VAULT.unseal(changed, context=CONTEXT)


@given(st.data())
def test_shorter_and_longer_is_refused(data: st.DataObject) -> None:
    """Nothing can be cut off, put in or put twice."""
    token = VAULT.seal("sk-canary-5512", context=CONTEXT)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    put = data.draw(st.sampled_from(["", "A", "=", "\n", token[start:end] * 2]))
    changed = token[:start] + put + token[end:]
    if changed != token:
        with pytest.raises(VaultError):
            VAULT.unseal(changed, context=CONTEXT)


@given(TEXTS, TEXTS)
def test_another_row_is_refused(one: str, two: str) -> None:
    """A token that was moved to another row, as by swapping two, opens nothing there."""
    token = VAULT.seal("sk-1", context=f"credentials/{one}")
    if one != two:
        with pytest.raises(CredentialDamaged):
            VAULT.unseal(token, context=f"credentials/{two}")


def test_parts_of_two_tokens_are_refused() -> None:
    """A ciphertext under the name of another key is damaged, though both keys are known."""
    old, new = (Vault([key]).seal("sk-1", context=CONTEXT) for key in (OLD, NEW))
    for token in (old.replace(OLD.id, NEW.id), new.replace(NEW.id, OLD.id)):
        with pytest.raises(CredentialDamaged):
            VAULT.unseal(token, context=CONTEXT)


def test_every_given_key_opens() -> None:
    """The first one seals; what an earlier one sealed goes on opening, and is known to be old."""
    token = Vault([OLD]).seal("sk-1", context=CONTEXT)
    assert VAULT.unseal(token, context=CONTEXT) == "sk-1"
    assert not VAULT.is_current(token)
    assert VAULT.is_current(VAULT.seal("sk-1", context=CONTEXT))
    assert not VAULT.is_current("sk-1")
    assert VAULT.key_ids == (NEW.id, OLD.id)
    with pytest.raises(WrongEncryptionKey, match=f"not the key \\({NEW.id}\\).*ENCRYPTION_KEY=new,old"):
        Vault([OTHER]).unseal(VAULT.seal("sk-1", context=CONTEXT), context=CONTEXT)


def test_without_a_key() -> None:
    """Nothing is sealed and nothing opens; what to do is said."""
    empty = Vault([])
    assert not empty.has_key
    with pytest.raises(EncryptionKeyMissing, match="ENCRYPTION_KEY is not set"):
        empty.seal("sk-1", context=CONTEXT)
    with pytest.raises(EncryptionKeyMissing):
        empty.unseal(VAULT.seal("sk-1", context=CONTEXT), context=CONTEXT)
    with pytest.raises(EncryptionKeyMissing):
        empty.canary()
    empty.prove(Header("", VAULT.canary()))


def test_a_canary_tells_the_key() -> None:
    """A vault that opens the canary has the right keys; another one, or a broken canary, ends the start."""
    header = Header("", Vault([OLD]).canary())
    VAULT.prove(header)
    VAULT.prove(Header("", ""))
    with pytest.raises(OperatorError, match=r"Set the right key; .*rotate-encryption-key") as refused:
        Vault([OTHER]).prove(header)
    assert OLD.id in str(refused.value)
    for broken in (header.canary[:-1], "x", VAULT.seal("other", context="vault_secrets/canary")):
        with pytest.raises(OperatorError, match="canary of the stored credentials is damaged"):
            VAULT.prove(Header("", broken))


def test_errors_and_reprs_hold_no_secret() -> None:
    """Neither the text, the token, the context nor the key stands in what may be printed."""
    token = VAULT.seal("sk-canary-5512", context=CONTEXT)
    with pytest.raises(VaultError) as refused:
        VAULT.unseal(token, context="credentials/2")
    printed = f"{refused.value!r} {VAULT!r}"
    assert not any(text in printed for text in ("sk-canary", token[22:40], NEW.key.hex(), "credentials/"))
    assert refused.value.__cause__ is None


def test_names_of_keys() -> None:
    """What is no token names no key."""
    assert key_id_of(VAULT.seal("x", context=CONTEXT)) == NEW.id
    for text in ("", "sk-1", "gwv2.0123456789abcdef.AAAA", "gwv1.0123456789abcdeF.AAAA", "gwv1.0123456789abcdef.A A"):
        assert not is_sealed(text)
        with pytest.raises(CredentialDamaged):
            key_id_of(text)
