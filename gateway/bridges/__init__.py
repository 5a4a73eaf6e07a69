"""Calls whose client speaks another surface than their provider has: translated there and back, sans-IO.

A dialect translates between OpenAI's chat and a provider's own API; a bridge translates between the surfaces that
clients speak. `speakers` says which of the two, or both, an attempt at a deployment goes through.
"""
