"""Meta: OpenAI's API under its own address."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

DIALECT = OpenAIDialect("meta", services=frozenset({Service.CHAT, Service.RESPONSES}), traits=Traits())
