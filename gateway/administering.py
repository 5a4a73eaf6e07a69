"""The rooms of the control plane, wired together over an open database. Loaded by the administrator alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from gateway.audit.anchor import Anchor
from gateway.audit.entries import AuditEntry
from gateway.audit.opening import open_audit
from gateway.auth.keyring import Keyring
from gateway.errors import OperatorError
from gateway.http.admin.app import create_admin
from gateway.http.admin.authentication import Authenticator, Entry
from gateway.http.admin.services import Services
from gateway.registry.interpolation import Interpolated, interpolate
from gateway.registry.resources.errors import KeyReplaced
from gateway.registry.resources.intake import Intake
from gateway.registry.resources.judging import Judge, Picture
from gateway.registry.resources.propagation import CHANNEL, Propagation
from gateway.registry.resources.reading import References
from gateway.registry.resources.repository import Resources, Rules
from gateway.registry.resources.shelf import Shelf
from gateway.registry.resources.status import RegistryStatus
from gateway.registry.resources.vetting import Bounds
from gateway.storage.pubsub import Subscription
from gateway.storage.sql.migrate import current_revision, expected_revision
from gateway.storage.sql.urls import database_url
from gateway.upstream.asking import Asker
from gateway.upstream.checkup import Examiner
from gateway.upstream.engines import Engines
from gateway.vault.custody import header_of, open_custody, prove_now

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.audit.log import AuditLog
    from gateway.registry.resources.records import Author, Change
    from gateway.registry.resources.repository import Record
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings
    from gateway.storage.redis import RedisClient
    from gateway.storage.sql.database import Database
    from gateway.worker_control import AdministratorBoot

Work = list[Coroutine[Any, Any, None]]


class NotMigrated(Exception):
    """The bookkeeper has not brought the database to this version's revision yet."""


async def open_rooms(boot: AdministratorBoot, database: Database, redis: RedisClient) -> tuple[Any, Work]:
    """The application, and what has to run beside it. Raises NotMigrated, DatabaseUnavailable, and OperatorError for a
    wrong ENCRYPTION_KEY."""
    settings = boot.settings
    await _migrated(settings)
    custody = await open_custody(database, settings)
    audit = await open_audit(database, custody.audit_key)
    references = References.of(settings, os.environ)
    rules = Rules(
        Judge(lambda: _base(boot), boot.context), Bounds(references.vet, settings.private_networks, boot.dialects)
    )
    seal = custody.vault.seal if custody.vault.has_key else None

    async def prove(connection: AsyncConnection) -> None:
        try:
            await prove_now(custody.vault, connection)
        except OperatorError:
            raise KeyReplaced from None

    resources = Resources(database, rules, seal=seal, prove=prove, record=recorder(audit))
    shelf = Shelf(settings.data_dir)
    propagation = Propagation(resources, shelf, redis, lambda: header_of(database))
    picture = Picture(boot.file, Intake(shelf, settings, os.environ, boot.context))
    opening = Intake(shelf, settings, os.environ, boot.context)
    engines = Engines()

    async def opened() -> Snapshot:
        await propagation.round()  # what was changed a moment ago is to be seen
        return (await opening.joined(boot.file())).snapshot

    keyring = Keyring(redis)
    entry = Entry(boot.admin_key, settings.admin_hosts, settings.admin_rate)
    services = Services(
        settings=settings,
        dialects=boot.dialects,
        database=database,
        authenticator=Authenticator(entry, database, audit),
        snapshot=picture.snapshot,
        tell_keys=keyring.apply,
        resources=resources,
        registry=RegistryStatus(resources, propagation, picture, redis),
        vault=custody.vault,
        unseal=custody.vault.unseal,
        examiner=Examiner(Asker(engines, boot.dialects), boot.dialects),
        opened=opened,
        document=lambda: boot.file().document,
        parked=picture.parked,
    )
    listening = Subscription(redis.dial, CHANNEL, propagation.heard, propagation.missed)
    return create_admin(services), [
        propagation.run(),
        listening.run(),
        _closed_at_the_end(engines),
        Anchor(database, settings.data_dir).run(),
    ]


async def _closed_at_the_end(engines: Engines) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await engines.close()


def recorder(audit: AuditLog) -> Record:
    """Writes changes of resources into the audit."""

    async def record(connection: AsyncConnection, revision: int, author: Author, change: Change) -> None:
        before, after = change.before, change.after
        entry = AuditEntry(
            actor=author.name,
            actor_kind=author.kind,
            role=author.role,
            action=change.action,
            resource_kind=str(change.kind),
            resource_id=change.resource.id,
            before=None if before is None else before.shown,
            after=None if after is None else {**after.shown, "revision": revision},
            address=author.address or "",
            request_id=author.request_id or "",
        )
        await audit.append(connection, entry)

    return record


async def _migrated(settings: Settings) -> None:
    """Raises NotMigrated."""
    url = database_url(settings)
    try:
        found = await asyncio.to_thread(current_revision, url)
    except OperatorError as error:  # it cannot be reached: the bookkeeper says so where it is for good
        raise NotMigrated(str(error)) from error
    if found != expected_revision():
        raise NotMigrated(f"it is at revision {found or 'none'}")


def _base(boot: AdministratorBoot) -> Interpolated:
    return interpolate(boot.file().document, os.environ)
