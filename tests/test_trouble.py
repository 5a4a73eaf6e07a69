from __future__ import annotations

from gateway.trouble import Trouble


def test_told_when_it_begins_and_when_it_is_over() -> None:
    said: list[str] = []
    trouble = Trouble(said.append, lambda: said.append("over"))
    trouble.over()
    assert said == []
    trouble.met(OSError("no disk"))
    trouble.met(ValueError("no sense"))
    assert (trouble.reason, said) == ("ValueError: no sense", ["OSError: no disk"])
    trouble.over()
    trouble.over()
    assert (trouble.reason, said) == (None, ["OSError: no disk", "over"])


def test_the_words_of_a_fault_of_ours_are_not_passed_on() -> None:
    said: list[str] = []
    trouble = Trouble(said.append, lambda: said.append("over"))
    trouble.fault(KeyError("secret"))
    assert (trouble.reason, said) == ("KeyError", [])
    trouble.met(OSError("no disk"))
    assert said == [], "in trouble already, which was told by who caught the fault"
    trouble.over()
    assert said == ["over"]
