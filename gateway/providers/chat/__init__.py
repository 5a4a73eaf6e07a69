"""Chat in neutral words, between OpenAI's API and the dialects that translate it.

`request` is what a caller asked, decoded once; `events` and `replies` are what a provider answered; `chunks` and
`stream` write it in OpenAI's words. A dialect translates between these and its provider's own, and nothing else.
"""
