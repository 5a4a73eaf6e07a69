"""together: OpenAI's API under the provider's own address."""

from gateway.providers.wire.openai import OpenAIDialect

DIALECT = OpenAIDialect("together")
