"""`gateway admin`: users and tokens of the admin API, made where the database is."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.auth.admins import Role
from gateway.commands.databases import itself, with_audit
from gateway.errors import OperatorError
from gateway.settings import load_settings

if TYPE_CHECKING:
    from gateway.auth.admins import Record
    from gateway.auth.tokens import Token, Tokens
    from gateway.auth.users import User, Users

_T = TypeVar("_T")
app = typer.Typer(no_args_is_help=True, help="Users and tokens of the admin API.")
users = typer.Typer(no_args_is_help=True, help="Users who log in, or have tokens.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens of machines.")
app.add_typer(users, name="users")
app.add_typer(tokens, name="tokens")
Name = Annotated[str, typer.Argument(help="Its name.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What it may do.")]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
WithPassword = Annotated[
    bool, typer.Option("--password", help="Ask for a password; without a terminal it is read from standard input.")
]


@users.command(name="create")
def create_user(
    name: Name, role: RoleOption = Role.VIEWER, password: WithPassword = False, as_json: Json = False
) -> None:
    """Make a user; without a password it can only have tokens."""
    word = _password() if password else None
    made = _with_users(lambda users, record: users.create(itself(), record, name, role, word))
    typer.echo(_dumped(_user(made)) if as_json else f"User {made.name} is created with the role {made.role}.")


@users.command(name="list")
def list_users(as_json: Json = False) -> None:
    """Show every user."""
    found = _with_users(lambda users, _: users.list_all())
    if as_json:
        typer.echo(_dumped({"users": [_user(user) for user in found]}))
        return
    for user in found:
        typer.echo(f"{user.name}  {user.role}{'  disabled' if user.disabled else ''}")
    if not found:
        typer.echo("There are no users yet: `gateway admin users create NAME --role admin --password` makes one.")


@users.command(name="set")
def set_user(
    name: Name,
    role: Annotated[Role | None, typer.Option(help="Another role.")] = None,
    password: WithPassword = False,
) -> None:
    """Give a user another role or password; its sessions end."""
    _change(name, role=role, password=_password() if password else None)
    typer.echo(f"User {name} is changed; it has to log in again.")


@users.command()
def disable(name: Name) -> None:
    """Shut a user out at once, with its sessions and tokens."""
    _change(name, disabled=True)
    typer.echo(f"User {name} is disabled.")


@users.command()
def enable(name: Name) -> None:
    """Let a user in again."""
    _change(name, disabled=False)
    typer.echo(f"User {name} is enabled.")


@tokens.command(name="create")
def create_token(
    name: Name,
    role: RoleOption = Role.VIEWER,
    expires: Annotated[str | None, typer.Option(help="12h, 30d, or a date; without it the token never ends.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, once."""
    from gateway.commands.key_words import moment  # noqa: PLC0415 - only this command pays for it

    until = moment(expires, time.time())
    made = _with_tokens(lambda found, record: found.create(itself(), record, name, role, until))
    if as_json:
        typer.echo(_dumped(_token(made) | {"token": made.secret}))
        return
    typer.echo(f"Token {made.id} ({made.name}, {made.role}) is created. It is not shown again:", err=True)
    typer.echo(made.secret)


@tokens.command(name="list")
def list_tokens(as_json: Json = False) -> None:
    """Show every token, without secrets."""
    found = _with_tokens(lambda tokens_, _: tokens_.list_for(itself()))
    if as_json:
        typer.echo(_dumped({"tokens": [_token(token) for token in found]}))
        return
    for token in found:
        typer.echo(f"{token.id}  {token.prefix}…  {token.role}  {token.state}  {token.user or '-'}  {token.name}")
    if not found:
        typer.echo("There are no tokens yet: `gateway admin tokens create NAME --role viewer` makes one.")


@tokens.command()
def revoke(token_id: Annotated[str, typer.Argument(help="Its id, as `gateway admin tokens list` shows it.")]) -> None:
    """End a token for good, at once."""
    _with_tokens(lambda found, record: found.revoke(itself(), record, token_id))
    typer.echo(f"Token {token_id} is revoked.")


def _change(name: str, **what: Any) -> None:
    from gateway.auth.users import Changed  # noqa: PLC0415

    _with_users(lambda users, record: users.change(itself(), record, name, Changed(**what)))


def _with_users(act: Callable[[Users, Record], Awaitable[_T]]) -> _T:
    from gateway.auth.passwords import Passwords  # noqa: PLC0415
    from gateway.auth.users import Users  # noqa: PLC0415

    return with_audit(load_settings(), lambda database, record: act(Users(database, Passwords()), record))


def _with_tokens(act: Callable[[Tokens, Record], Awaitable[_T]]) -> _T:
    from gateway.auth.tokens import Tokens  # noqa: PLC0415

    return with_audit(load_settings(), lambda database, record: act(Tokens(database), record))


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise OperatorError("The two passwords are not the same. Try again.")
    return first


def _user(user: User) -> dict[str, Any]:
    from gateway.commands.key_words import iso  # noqa: PLC0415

    return asdict(user) | {"created_at": iso(user.created_at), "updated_at": iso(user.updated_at)}


def _token(token: Token) -> dict[str, Any]:
    from gateway.commands.key_words import iso  # noqa: PLC0415

    found = asdict(token)
    del found["secret"]
    return found | {name: iso(found[name]) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")}


def _dumped(value: Any) -> str:
    import orjson  # noqa: PLC0415

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
