"""OpenAI's Responses API as clients speak it, asked of providers by chat.

`body` turns what a client asks into a chat body (with `conversation` and `tools`), `reply` and `stream` turn the chat's
answer into a response. All of it is told in `docs/responses.md`.
"""
