"""Any server that speaks OpenAI's API (`custom` in a configuration is the same)."""

from gateway.providers.wire.openai import OpenAIDialect

DIALECT = OpenAIDialect("openai_compatible")
