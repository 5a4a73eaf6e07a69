"""What stands where a secret should: what examples, forms and installers leave there. Pure."""

from __future__ import annotations

import re

_LEFT_OVER = frozenset(
    (
        *("changeme", "changemenow", "changemeplease", "changethis", "changethisvalue", "replaceme", "replacethis"),
        *("password", "passwordpassword", "adminpassword", "adminadmin", "administrator", "supersecret"),
        *("supersecretkey", "secretsecret", "gatewayadminkey", "insertkeyhere", "examplekey", "placeholder", "todo"),
        *("youradminkey", "yoursecretkey", "insertyourkeyhere", "yourapikey", "yourkey", "yourtoken", "yoursecret"),
    )
)
"""Their letters alone: `Change-Me-Please-1234` counts too."""
_WORD = re.compile(r"[a-z]+")
_BRACKETED = re.compile(r"<[^<>]*>|\{\{[^{}]*\}\}|\[[^\[\]]*\]")
_FILLER = re.compile(r"(.)\1*|(?:[a-z0-9]{2,8}[-_])+(.)\2{2,}")
"""One sign throughout, or behind what such keys begin with: `sk-ant-xxxx`, `sk-...`."""


def is_placeholder(text: str) -> bool:
    """Whether these words ask for a secret: `<your-key>`, `changeme`, `YOUR_API_KEY`."""
    plain = text.strip().lower()
    letters = "".join(filter(str.isalpha, plain))
    return letters in _LEFT_OVER or "your" in _WORD.findall(plain) or _BRACKETED.fullmatch(plain) is not None


def is_filler(text: str) -> bool:
    """Whether this has a secret's form alone: `sk-xxxx`, or one sign again and again. Servers that ask for no key are
    often given such a one."""
    return _FILLER.fullmatch(text.strip().lower()) is not None
