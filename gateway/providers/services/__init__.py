"""Embeddings and rerank in neutral words: what was asked, read once, and what was answered, as clients read it.

A dialect that translates turns an ask into its provider's body, and the provider's numbers into `reply_of` or
`ranking_of`. Nothing here knows a provider.
"""
