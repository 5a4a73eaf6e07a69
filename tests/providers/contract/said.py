"""What is said between a client and a model, in words of no API: what natives hear and say, what clients must read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """A tool call."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Turn:
    """What one side said. `user` turns hold tool results too: (id of the call, text)."""

    role: str
    text: str = ""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    reasoning: list[dict[str, Any]] = field(default_factory=list)
    """Blocks of the provider's own reasoning that came back."""


@dataclass
class Heard:
    """A request as the provider understands it. What it did not mention is None or empty."""

    model: str = ""
    stream: bool = False
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    tools: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """Description and schema by name."""
    choice: str = "auto"
    """`auto`, `none`, `required` or `=name`."""
    parallel: bool = True
    schema: dict[str, Any] | None = None
    json_mode: bool = False
    """JSON is asked for in whatever way the API has, or in words."""
    stop: tuple[str, ...] = ()
    limit: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    seed: int | None = None
    thinks: bool = False
    """Reasoning is asked for."""

    def add(self, turn: Turn) -> None:
        """One more turn; two of one side in a row are one."""
        if self.turns and self.turns[-1].role == turn.role:
            last = self.turns[-1]
            last.text += turn.text
            last.images += turn.images
            last.calls += turn.calls
            last.results += turn.results
            last.reasoning += turn.reasoning
        else:
            self.turns.append(turn)


@dataclass(frozen=True)
class Counts:
    """Tokens; `input` includes `cached` and `written`, `output` includes `reasoning`."""

    input: int = 11
    output: int = 7
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Said:
    """One answer of the model. `finish`: stop, length, calls or refused."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    counts: Counts = Counts()


@dataclass
class Read:
    """What a client got of one choice."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Id, name and arguments as text."""
    finish: str | None = None
    usage: dict[str, Any] | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """Fields beyond OpenAI's own, such as `thinking_blocks`."""
