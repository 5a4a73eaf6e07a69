"""Every bridge there is, by preference where two lead to the same place."""

from __future__ import annotations

from gateway.bridges.chat.bridge import ChatToResponses
from gateway.bridges.messages.bridge import MessagesToChat
from gateway.bridges.responses.bridge import ResponsesToChat
from gateway.ports import Bridge

BRIDGES: tuple[Bridge, ...] = (ResponsesToChat(), ChatToResponses(), MessagesToChat())
