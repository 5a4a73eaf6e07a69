"""What is made of ENCRYPTION_KEY."""

from __future__ import annotations

import base64
import hashlib
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.vault import keys
from gateway.vault.keys import FILE, key_texts, make_key, master_key, split
from tests.vault.conftest import fernet_key, settings_with

SALT = bytes(16)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("one", ("one",)),
        ("new,old", ("new", "old")),
        (" new , old\n", ("new", "old")),
        ("correct horse\\, battery", ("correct horse, battery",)),
        ("a\\,b,c\\,d", ("a,b", "c,d")),
        ("back\\slash", ("back\\slash",)),
        (",,x,", ("x",)),
        ("", ()),
    ],
)
def test_keys_stand_between_commas(text: str, parts: tuple[str, ...]) -> None:
    """The first one seals; a comma of a passphrase is written with a backslash, which means nothing elsewhere."""
    assert split(text) == parts


def test_a_fernet_key_needs_no_salt() -> None:
    """32 bytes of chance are a key as they are: the same one with every salt."""
    text = fernet_key()
    assert master_key(text, SALT) == master_key(text, b"another")
    assert base64.urlsafe_b64decode(text) not in (master_key(text, SALT).key,)


def test_a_passphrase_is_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the salt, by as many rounds as OWASP asks for, once per process."""
    assert keys.ITERATIONS >= 600_000
    text = "correct horse battery staple"
    nearly = fernet_key()[:-2] + "=="
    first = master_key(text, SALT)
    assert master_key(text, b"another salt 123").id != first.id
    assert master_key(nearly, b"another salt 123").id != master_key(nearly, SALT).id
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", None)  # not asked again
    assert master_key(text, SALT) == first


def test_keys_tell_nothing() -> None:
    """A key's name is no part of the key, and its repr shows the name alone."""
    key = master_key(fernet_key(), SALT)
    assert bytes.fromhex(key.id) not in key.key
    assert repr(key) == f"MasterKey(id='{key.id}')"


def test_short_passphrases_are_refused(tmp_path: Path) -> None:
    """Wherever in the list they stand."""
    for given in (("short",), (fernet_key(), "short")):
        with pytest.raises(OperatorError, match="at least 12 characters"):
            key_texts(settings_with(tmp_path, *given))


def test_a_key_is_made_where_state_is_embedded(tmp_path: Path) -> None:
    """Readable by its owner alone, made once however many begin at the same time, and kept."""
    settings = settings_with(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make_key, [settings] * 8))
    [text] = key_texts(settings)
    assert master_key(text, SALT) == master_key(text, b"another")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    make_key(settings)
    assert key_texts(settings) == (text,)


def test_no_key_is_made_where_replicas_share(tmp_path: Path) -> None:
    """With DATABASE_URL or with ENCRYPTION_KEY nothing is generated, and a file of before does not seal."""
    make_key(settings_with(tmp_path, database_url="postgresql://h/d"))
    make_key(settings_with(tmp_path, fernet_key()))
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).write_text(fernet_key())
    assert key_texts(settings_with(tmp_path, database_url="postgresql://h/d")) == ()


def test_a_generated_key_goes_on_opening(tmp_path: Path) -> None:
    """Who sets ENCRYPTION_KEY later seals with that one, and loses nothing."""
    make_key(settings_with(tmp_path))
    [made] = key_texts(settings_with(tmp_path))
    given = fernet_key()
    assert key_texts(settings_with(tmp_path, given)) == (given, made)
    assert key_texts(settings_with(tmp_path, made)) == (made,)


def test_a_directory_that_takes_nothing(tmp_path: Path) -> None:
    """Is the operator's to mend."""
    missing = tmp_path / "missing"
    with pytest.raises(OperatorError, match="Make the data directory writable"):
        make_key(settings_with(missing))


def test_nothing_heavy_is_loaded() -> None:
    """Who has nothing sealed loads neither cryptography nor a database driver."""
    code = (
        "import sys, gateway.vault; from gateway.vault.keys import master_key; master_key('a passphrase', b'1'*16);"
        "assert not {'cryptography', 'sqlalchemy'} & {name.partition('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
