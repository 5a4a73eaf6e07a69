"""Keys of the configuration file, as the admin API shows them: to be seen here and changed there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.http.admin.key_shapes import KeyShown
from gateway.http.admin.moments import iso
from gateway.http.admin.spec_words import limits_of, quotas_of

if TYPE_CHECKING:
    from gateway.registry.snapshot import VirtualKey


def shown_of_file(key: VirtualKey) -> KeyShown:
    """One of them."""
    principal = key.principal
    over = principal.expires_at is not None and principal.expires_at <= time.time()
    return KeyShown(
        name=key.name,
        is_system=True,
        state="inactive" if not key.active else "expired" if over else "active",
        prefix=None,
        team=principal.team,
        models=None if principal.models is None else list(principal.models),
        services=None if principal.services is None else sorted(principal.services),
        limits=limits_of(principal.limits),
        quotas=quotas_of(principal.quotas),
        metadata={"groups": ",".join(sorted(principal.groups))} if principal.groups else {},
        created_at=None,
        created_by=None,
        expires_at=iso(principal.expires_at),
        rotated_at=None,
        grace_until=None,
        revoked_at=None,
        revision=0,
    )
