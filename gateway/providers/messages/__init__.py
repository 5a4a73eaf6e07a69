"""Anthropic's Messages API, as Anthropic itself and its resellers (Vertex, Foundry) have it: bodies, not addresses."""
