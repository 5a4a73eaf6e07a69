"""The provider's tokens: four characters (code points) are one, a rest is one more."""

from __future__ import annotations

WIDTH = 4
_FILLER = "lorem ipsum dolor sit amet "


def count(text: str) -> int:
    """Tokens in a text: its length in code points by four, rounded up."""
    return -(-len(text) // WIDTH)


def pieces(text: str) -> list[str]:
    """The text's tokens, in order; joined they are the text again."""
    return [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]


def resize(text: str, tokens: int) -> str:
    """The text filled up or cut to exactly so many tokens."""
    wanted = tokens * WIDTH
    if len(text) < wanted:
        text = f"{text} " if text else text
        text += _FILLER * (-(-(wanted - len(text)) // len(_FILLER)))
    return text[:wanted]
