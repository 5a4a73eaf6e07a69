"""An LLM gateway that speaks OpenAI's API: routing, limits, failover and exact accounting in front of every
provider."""

__version__ = "0.1.0"
