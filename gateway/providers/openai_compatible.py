"""Any server that speaks OpenAI's API (`custom` in a configuration is the same)."""

from gateway.providers.wire.compatible import CompatibleDialect
from gateway.providers.wire.traits import EVERY_CHOICE, Traits

DIALECT = CompatibleDialect("openai_compatible", traits=Traits(nulls=True, tool_choice=EVERY_CHOICE))
