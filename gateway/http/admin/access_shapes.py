"""Users, tokens and sessions as callers of the admin API write and read them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from gateway.auth.admins import Role
from gateway.auth.passwords import LONGEST
from gateway.auth.tokens import LONGEST_NAME, Token
from gateway.auth.users import User
from gateway.http.admin.moments import iso, to_come
from gateway.http.admin.shapes import Given, Shown, Stamp
from gateway.registry import dates

Password = Annotated[SecretStr, Field(max_length=LONGEST, description="At least 12 characters.")]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$")]


class Login(Given):
    """Proof of who wants a session: a user's name and password, or the admin key or a token."""

    name: Annotated[str, Field(max_length=128)] | None = None
    password: Annotated[SecretStr, Field(max_length=1024)] | None = None
    credential: Annotated[SecretStr, Field(max_length=1024)] | None = Field(
        None, description="The admin key, in place of name and password."
    )


class SessionShown(Shown):
    """Who is logged in."""

    name: str
    role: Role
    kind: str = Field(description="`user`, `token` or `admin_key`.")
    csrf_token: str | None = Field(description="Sent back as `x-csrf-token` with everything that changes something.")
    expires_at: Stamp | None = Field(description="When the session ends, however much it is used.")


class NewPassword(Given):
    """One's own new password."""

    current: Annotated[SecretStr, Field(max_length=1024)]
    password: Password


class UserDraft(Given):
    """A user to be made."""

    name: Name
    role: Role = Role.VIEWER
    password: Password | None = Field(None, description="Omitted: the user can have tokens, and cannot log in.")


class UserPatch(Given):
    """What is to be another than it is."""

    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = None


class UserShown(Shown):
    """A user who administers."""

    id: str
    name: str
    role: Role
    disabled: bool
    has_password: bool
    created_at: Stamp
    created_by: str
    updated_at: Stamp


class TokenDraft(Given):
    """A token to be made, of the caller's own."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    role: Role = Field(Role.VIEWER, description="At most the caller's.")
    expires_at: Annotated[str, Field(max_length=40), AfterValidator(to_come)] | None = Field(
        None, description="When it ends; omitted: never.", examples=["2027-01-31T18:00:00Z"]
    )

    @property
    def until(self) -> float | None:
        """Unix seconds."""
        return None if self.expires_at is None else dates.moment(self.expires_at)


class TokenShown(Shown):
    """A token, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="Its first characters.")
    role: Role
    user: str | None = Field(description="Whose it is; null: a machine's.")
    state: str = Field(description="`active`, `expired` or `revoked`.")
    created_at: Stamp
    created_by: str
    expires_at: Stamp | None
    last_used_at: Stamp | None
    revoked_at: Stamp | None


class TokenCreated(TokenShown):
    """A token, with its secret, which is not shown again."""

    token: str


def user_shown(user: User) -> UserShown:
    """A user as callers read it."""
    return UserShown(
        id=user.id,
        name=user.name,
        role=user.role,
        disabled=user.disabled,
        has_password=user.has_password,
        created_at=iso(user.created_at) or "",
        created_by=user.created_by,
        updated_at=iso(user.updated_at) or "",
    )


def token_shown(token: Token) -> TokenShown:
    """A token as callers read it."""
    return TokenShown(
        id=token.id,
        name=token.name,
        prefix=token.prefix,
        role=token.role,
        user=token.user,
        state=token.state,
        created_at=iso(token.created_at) or "",
        created_by=token.created_by,
        expires_at=iso(token.expires_at),
        last_used_at=iso(token.last_used_at),
        revoked_at=iso(token.revoked_at),
    )
