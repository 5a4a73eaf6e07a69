"""The gateway's outward HTTP: OpenAI's API as raw ASGI, operations endpoints, error bodies."""
