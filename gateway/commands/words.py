"""How commands read and write times and money."""

from __future__ import annotations

from gateway.errors import OperatorError
from gateway.usage import wording
from gateway.usage.wording import TIME_HELP, stamp, usd

__all__ = ["moment", "stamp", "usd"]


def moment(text: str, option: str) -> int:
    """As `wording.moment`. Raises OperatorError that names the option."""
    try:
        return wording.moment(text)
    except ValueError:
        raise OperatorError(f"{option}: {text!r} is no time ({TIME_HELP})") from None
