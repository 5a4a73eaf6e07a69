"""References to secrets that are kept elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.registry.resources.reading import MOST_BYTES, References

ENV = {
    "GATEWAY_CREDENTIAL_ACME": "from-env",
    "OFFERED": "offered",
    "GATEWAY_ADMIN_KEY": "the-admin-key",
    "PATH": "/bin",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "secrets"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "key").write_text("from-file\n")
    (inside / "empty").write_text("\n")
    (inside / "large").write_text("x" * (MOST_BYTES + 1))
    (tmp_path / "outside").write_text("not for you")
    (inside / "way-out").symlink_to(tmp_path / "outside")
    # As Kubernetes mounts a secret.
    (inside / "..data").mkdir()
    (inside / "..data" / "mounted").write_text("from-kubernetes")
    (inside / "mounted").symlink_to(Path("..data") / "mounted")
    return inside


def test_what_is_offered(folder: Path) -> None:
    """Variables by their prefix or by name, files below the directory; a setting that wants a path gets that."""
    references = References(ENV, ("OFFERED",), folder)
    assert references.read("env:GATEWAY_CREDENTIAL_ACME", "api_key") == "from-env"
    assert references.read("env:OFFERED", "api_key") == "offered"
    assert references.read("file:deep/key", "api_key") == "from-file"
    assert references.read("file:mounted", "api_key") == "from-kubernetes"
    assert references.read("file:deep/key", "credentials_file") == str((folder / "deep" / "key").resolve())


@pytest.mark.parametrize(
    "reference",
    [
        "env:GATEWAY_ADMIN_KEY", "env:PATH", "env:GATEWAY_CREDENTIAL_DIR", "env:GATEWAY_CREDENTIAL_ENV", "env:",
        "file:../outside", "file:/etc/passwd", "file:way-out", "file:", "file:.", "file:deep/../../outside",
        "http:x", "", "env", "file:\0",
    ],
)  # fmt: skip
def test_what_is_not(reference: str, folder: Path) -> None:
    """The gateway's own variables and files elsewhere cannot be read, whatever way leads there."""
    references = References(ENV, ("OFFERED",), folder)
    with pytest.raises(ValueError, match=r"\(.*\)|expected env") as caught:
        references.vet(reference)
    assert "the-admin-key" not in str(caught.value)
    with pytest.raises(ValueError, match=r"\(.*\)|expected env"):
        references.read(reference, "api_key")


def test_what_is_missing(folder: Path) -> None:
    """A secret that is not there, or no secret at all, says what to do."""
    references = References(ENV, (), folder)
    for reference in ("env:GATEWAY_CREDENTIAL_GONE", "file:gone", "file:empty", "file:large", "file:deep"):
        references.vet(reference)
        with pytest.raises(ValueError, match=r"\(.*\)"):
            references.read(reference, "api_key")


def test_no_files_without_a_directory() -> None:
    """Unless the operator names a directory, no file can be read."""
    with pytest.raises(ValueError, match="GATEWAY_CREDENTIAL_DIR"):
        References(ENV, (), None).vet("file:/etc/passwd")
