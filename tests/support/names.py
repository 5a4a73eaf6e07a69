"""A DNS server: answers that do not last (TTL 0), and another one each time if a test wants that."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address

A, AAAA = 1, 28
_NO_SUCH_NAME = 3


class NameServer:
    """Answers over UDP from `answers`: each question for an A record takes the next set of addresses, the last set is
    given for ever. A question for AAAA is answered from the set that is next."""

    def __init__(self, address: str = "127.0.0.1", port: int = 53) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            self._socket.sendto(self._reply(question), sender)

    def _reply(self, question: bytes) -> bytes:
        name, end = _name_in(question)
        (kind,) = struct.unpack_from(">H", question, end)
        self.asked.append((name, kind))
        sets = self.answers.get(name)
        if sets is None:
            return _message(question, end, [], _NO_SUCH_NAME)
        addresses = [ip_address(text) for text in sets[0]]
        wanted = [one for one in addresses if isinstance(one, IPv4Address if kind == A else IPv6Address)]
        if kind == A and len(sets) > 1:
            sets.pop(0)
        return _message(question, end, [_record(kind, one) for one in wanted], 0)


def _name_in(question: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def _record(kind: int, address: IPv4Address | IPv6Address) -> bytes:
    """The name is the question's own; class IN, TTL 0."""
    return struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(address.packed)) + address.packed


def _message(question: bytes, end: int, records: list[bytes], code: int) -> bytes:
    head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    return head + question[12 : end + 4] + b"".join(records)
