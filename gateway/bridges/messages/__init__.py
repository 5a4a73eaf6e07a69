"""Anthropic's Messages API as clients speak it, asked of providers by OpenAI's chat.

`request` turns what a client asks into a chat body, `reply` and `stream` turn the chat's answer into a message. All of
it is told in `docs/messages.md`.
"""
