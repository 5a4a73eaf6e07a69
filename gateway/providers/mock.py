"""The built-in provider without a network: the scripted provider, spoken to over OpenAI's wire by the in-process
engine."""

from gateway.providers.wire.openai import OpenAIDialect

DIALECT = OpenAIDialect("mock")
