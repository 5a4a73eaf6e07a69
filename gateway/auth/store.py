"""The keys that a worker knows: a cache over the mirror in Redis, told of every change.

A hit costs no I/O. A miss reads Redis once, however many wait for it. Every two seconds the mirror's mark says whether
the cache is still true; when it is not, or notices were missed, every entry is read again. Without the store, what is
known serves on for five minutes, and what is not known is 503: our outage is never the client's 401.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from gateway.auth.keyring import Keyring, Mark, read_notice
from gateway.auth.records import decode, digest_of, principal_of
from gateway.errors import AuthUnavailable, GatewayError, InvalidApiKey, KeyExpired, KeyRevoked
from gateway.storage.errors import StoreUnavailable
from gateway.types import Principal

if TYPE_CHECKING:
    from gateway.ports import Clock
    from gateway.registry.snapshot import Snapshot
    from gateway.storage.redis import RedisClient

_log = logging.getLogger(__name__)

OnRevoked = Callable[[frozenset[bytes]], None]
_BATCH = 500


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Seconds, and how much is kept."""

    poll: float = 2.0
    fresh: float = 60.0
    """How long an entry that nothing confirmed serves while the store works."""
    stale: float = 300.0
    """The same while the store is away."""
    negative: float = 5.0
    entries: int = 20_000
    negatives: int = 10_000
    waiting: int = 10_000
    """Unknown keys that are being looked up at once; more are refused as `auth_unavailable`."""


class _Entry(msgspec.Struct):
    principal: Principal
    raw: bytes
    checked: float


_Found = _Entry | type[GatewayError]


class Keys:
    """The run-time keys of one worker. `in_use` says of a digest whether calls of it are open: such an entry is never
    evicted, so that its revocation is always noticed."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        clock: Clock = time.monotonic,
        wall: Callable[[], float] = time.time,
        in_use: Callable[[bytes], bool] = lambda _: False,
        policy: CachePolicy = CachePolicy(),
    ) -> None:
        self._keyring = Keyring(redis)
        self._clock = clock
        self._wall = wall
        self._in_use = in_use
        self._policy = policy
        self._cache: dict[bytes, _Entry] = {}
        self._absent: dict[bytes, tuple[float, type[GatewayError]]] = {}
        self._pending: dict[bytes, asyncio.Future[_Found]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._reads: list[set[bytes]] = []
        """For every read under way: the digests of which notice was given meanwhile."""
        self._version: tuple[str, int] | None = None
        """The mirror's epoch and revision that the cache is true to; None: every entry has to be read again."""
        self._confirmed = float("-inf")
        """When the whole cache was last found true."""
        self._patience = policy.fresh
        self._listeners: list[OnRevoked] = []
        self._nudge = asyncio.Event()
        self._zone = "UTC"
        self.configured: bool | None = None
        """Whether a run-time key was ever created, revoked ones included; None while that is not known."""

    def __repr__(self) -> str:
        return f"<Keys {len(self._cache)} cached, {'up' if self.available else 'store away'}>"

    @property
    def zone(self) -> str:
        """The calendar of quotas that name none."""
        return self._zone

    @zone.setter
    def zone(self, zone: str) -> None:
        if zone == self._zone:
            return
        self._zone = zone
        # Another calendar has other counters: whoever is known already must be counted where other workers count.
        for digest, entry in self._cache.items():
            entry.principal = principal_of(decode(entry.raw), digest, zone)

    @property
    def available(self) -> bool:
        """The last look at the mirror found it whole."""
        return self._patience == self._policy.fresh

    def on_revoked(self, callback: OnRevoked) -> None:
        """Call this with the digests of keys that were revoked, perhaps more than once; not for keys that were rotated
        or have expired."""
        self._listeners.append(callback)

    def known(self, snapshot: Snapshot, credential: bytes) -> Principal | None:
        """Who holds this credential, if no I/O is needed to tell; else None: `find` it. Raises KeyExpired."""
        digest = digest_of(credential)
        principal = snapshot.keys.get(digest)
        if principal is None:
            entry = self._cache.get(digest)
            if entry is None or self._clock() - max(entry.checked, self._confirmed) > self._patience:
                return None
            principal = entry.principal
            if principal.key in snapshot.virtual_keys:  # on a clash of names the file wins
                return None
        if principal.expires_at is not None and principal.expires_at <= self._wall():
            raise KeyExpired
        return principal

    async def find(self, snapshot: Snapshot, credential: bytes) -> Principal:
        """Who holds this credential, from the mirror. Raises InvalidApiKey (KeyExpired, KeyRevoked among them) only
        when the mirror is whole, else AuthUnavailable."""
        digest = digest_of(credential)
        found = self._found_absent(digest) or await self._fetch(digest)
        if not isinstance(found, _Entry):
            raise found(retry_after=1.0) if found is AuthUnavailable else found()
        principal = found.principal
        if principal.key in snapshot.virtual_keys:
            raise InvalidApiKey
        if principal.expires_at is not None and principal.expires_at <= self._wall():
            raise KeyExpired
        return principal

    # ---- told by the subscription

    def notice(self, message: bytes) -> None:
        """A message of `keyring.CHANNEL`."""
        try:
            notice = read_notice(message)
        except ValueError:
            _log.warning("a notice of changed keys could not be read: every key is looked at again")
            self.missed()
            return
        touched = notice.revoked | notice.changed
        self.configured = bool(touched) or notice.after > 0 or self.configured
        for read in self._reads:
            read |= touched
        for digest in touched:
            self._absent.pop(digest, None)
        for digest in notice.changed & self._cache.keys():
            self._expect(digest)
        self._forget_revoked(notice.revoked)
        if notice.before != notice.after or notice.epoch != (self._version or ("",))[0]:
            if self._version == (notice.epoch, notice.before):
                self._version = (notice.epoch, notice.after)
            elif self._version != (notice.epoch, notice.after):
                self.missed()

    def missed(self) -> None:
        """Notices may have been missed: look at every key again, now."""
        self._version = None
        self._nudge.set()

    # ---- the net under it

    async def run(self) -> None:
        """Keep the cache true until cancelled."""
        try:
            while True:
                await self.poll()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._policy.poll):
                        await self._nudge.wait()
                self._nudge.clear()
        finally:
            await self.close()

    async def close(self) -> None:
        """Nobody waits any more."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        for future in self._pending.values():
            future.set_result(AuthUnavailable)
        self._pending.clear()

    async def poll(self) -> None:
        """Is the cache what the mirror says? Where not, read it again."""
        started = self._clock()
        version = self._version
        try:
            mark = (await self._keyring.look()).mark
            if not self._heed(mark):
                return
            assert mark is not None
            if version != (mark.epoch, mark.revision) or self._version is None:
                self._absent.clear()
                await self._recheck()
                self._version = (mark.epoch, mark.revision)
            self._confirmed = started
        except StoreUnavailable:
            self._patience = self._policy.stale

    async def _recheck(self) -> None:
        """Read every entry again. Raises StoreUnavailable."""
        digests = list(self._cache)
        for start in range(0, len(digests), _BATCH):
            part = digests[start : start + _BATCH]
            with self._reading() as meanwhile:
                found = await self._read(part)
            self._keep(part, found, meanwhile)

    # ---- reading

    def _found_absent(self, digest: bytes) -> type[GatewayError] | None:
        found = self._absent.get(digest)
        return found[1] if found is not None and found[0] > self._clock() else None

    async def _fetch(self, digest: bytes) -> _Found:
        if digest not in self._pending and len(self._pending) >= self._policy.waiting:
            return AuthUnavailable
        # Shielded: who leaves must not take the answer from the others.
        return await asyncio.shield(self._expect(digest))

    def _expect(self, digest: bytes) -> asyncio.Future[_Found]:
        """The answer to come for this digest: one for all who wait."""
        future = self._pending.get(digest)
        if future is None:
            future = self._pending[digest] = asyncio.get_running_loop().create_future()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read_pending())
        return future

    async def _read_pending(self) -> None:
        """One read at a time; what arrives meanwhile goes with the next."""
        while self._pending:
            digests = list(islice(self._pending, _BATCH))
            try:
                with self._reading() as meanwhile:
                    found = await self._read(digests)
                self._keep(digests, found, meanwhile)
            except StoreUnavailable:
                self._patience = self._policy.stale
                found, meanwhile = self._without_store(digests), set()
            except Exception:  # a fault of ours: those who wait are refused, and it is logged
                _log.exception("keys could not be looked up")
                found, meanwhile = self._without_store(digests), set()
            for digest, answer in zip(digests, found, strict=True):
                if digest not in meanwhile:
                    self._pending.pop(digest).set_result(answer)

    async def _read(self, digests: Sequence[bytes]) -> list[_Found]:
        """Entries, or why there is none. Raises StoreUnavailable, also while the mirror is not whole."""
        now = self._clock()
        look = await self._keyring.look(digests)
        if not self._heed(look.mark):
            raise StoreUnavailable("error", "the mirror of the keys is not complete")
        return [self._entry(digest, raw, now) for digest, raw in zip(digests, look.records, strict=True)]

    def _entry(self, digest: bytes, raw: bytes | None, now: float) -> _Found:
        if raw is None:
            return InvalidApiKey
        held = self._cache.get(digest)
        if held is not None and held.raw == raw:
            return _Entry(held.principal, raw, now)
        try:
            return _Entry(principal_of(decode(raw), digest, self.zone), raw, now)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            _log.exception("a key of the mirror cannot be read by this version")
            return AuthUnavailable

    def _heed(self, mark: Mark | None) -> bool:
        """What a mark says about the mirror; whether that is whole."""
        if mark is None or not mark.whole:
            self._patience = self._policy.stale
            return False
        self._patience = self._policy.fresh
        # Never back to no: a mirror may be older than what was found out before.
        self.configured = bool(self.configured) or mark.revision > 0
        return True

    def _without_store(self, digests: Sequence[bytes]) -> list[_Found]:
        self._version = None  # a notice may have asked for this read
        return [self._last_known(digest) for digest in digests]

    def _last_known(self, digest: bytes) -> _Found:
        """What is known already, while it may serve."""
        entry = self._cache.get(digest)
        if entry is None or self._clock() - max(entry.checked, self._confirmed) > self._policy.stale:
            return AuthUnavailable
        return entry

    @contextmanager
    def _reading(self) -> Iterator[set[bytes]]:
        """Collects the digests of which notice is given during a read: what was read of them may be old."""
        meanwhile: set[bytes] = set()
        self._reads.append(meanwhile)
        try:
            yield meanwhile
        finally:
            self._reads.remove(meanwhile)

    # ---- what is kept

    def _keep(self, digests: Sequence[bytes], found: Iterable[_Found], meanwhile: set[bytes]) -> None:
        revoked = set()
        for digest, answer in zip(digests, found, strict=True):
            if digest in meanwhile:
                continue
            if isinstance(answer, _Entry):
                self._remember(digest, answer)
            elif answer is InvalidApiKey and digest in self._cache:
                if self._is_over(self._cache[digest].principal):
                    del self._cache[digest]
                else:
                    revoked.add(digest)
            elif answer is InvalidApiKey:
                self._remember_absent(digest, InvalidApiKey)
        self._forget_revoked(revoked)

    def _is_over(self, principal: Principal) -> bool:
        return principal.expires_at is not None and principal.expires_at <= self._wall()

    def _remember(self, digest: bytes, entry: _Entry) -> None:
        if digest not in self._cache and len(self._cache) >= self._policy.entries:
            self._evict()
        self._cache[digest] = entry

    def _evict(self) -> None:
        """Drop the oldest entry that no open call needs."""
        victim = next((digest for digest in self._cache if not self._in_use(digest)), None)
        if victim is not None:
            del self._cache[victim]

    def _remember_absent(self, digest: bytes, error: type[GatewayError]) -> None:
        self._absent.pop(digest, None)
        if len(self._absent) >= self._policy.negatives:
            del self._absent[next(iter(self._absent))]
        self._absent[digest] = (self._clock() + self._policy.negative, error)

    def _forget_revoked(self, digests: Iterable[bytes]) -> None:
        gone = frozenset(digests)
        if not gone:
            return
        for digest in gone:
            self._cache.pop(digest, None)
            self._remember_absent(digest, KeyRevoked)
        for callback in self._listeners:
            callback(gone)
