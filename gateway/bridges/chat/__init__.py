"""OpenAI's chat as clients speak it, asked of models that have only the Responses API.

`body` turns what a client asks into a request of that API, `reply` and `events` turn its answer into a chat's.
"""
