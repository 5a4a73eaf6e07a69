"""The list of translation bugs that other gateways had: each number has a test of its name, and no test another number.

A number may have more tests than the one named here: one per API that could have the bug.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GEMINI, IMITATORS = "providers/test_known_bugs_gemini.py", "providers/test_known_bugs_imitators.py"
CLAUDE, BEDROCK = "providers/test_known_bugs_anthropic.py", "providers/test_known_bugs_bedrock.py"
MESSAGES, RESPONSES = "bridges/messages/test_known_bugs.py", "bridges/responses/test_streams.py"
BUGS: dict[int, tuple[str, str]] = {
    1: ("all parallel calls have index 0", f"{IMITATORS}::test_bug_01_parallel_calls_have_their_own_index"),
    2: ("the index begins anew with each chunk", f"{GEMINI}::test_bug_02_the_index_goes_on_from_event_to_event"),
    3: (
        "index 0 merges arguments",
        f"{IMITATORS}::test_bug_03_calls_that_are_all_numbered_0_are_told_apart",
    ),
    4: ("index 0 through the bridge of responses", f"{RESPONSES}::test_bug_04_calls_that_are_all_numbered_0"),
    5: ("the index of a block leaks", f"{CLAUDE}::test_bug_05_the_index_of_a_block_is_not_that_of_a_call"),
    6: ("`stop` in spite of calls", f"{CLAUDE}::test_bug_06_a_stream_with_calls_finishes_with_tool_calls"),
    7: ("no finish_reason key", f"{CLAUDE}::test_bug_07_every_choice_has_a_finish_reason_key"),
    8: ("no role in the first chunk", f"{CLAUDE}::test_bug_08_the_first_chunk_says_the_role"),
    9: ("usage of streams is dropped", f"{CLAUDE}::test_bug_09_usage_of_a_stream_is_kept"),
    10: ("Bedrock's exceptions are swallowed", f"{BEDROCK}::test_bug_10_an_exception_in_a_stream_is_heard"),
    11: ("a failure becomes an empty turn", f"{CLAUDE}::test_bug_11_a_failure_is_no_empty_answer"),
    12: ("a reset becomes a normal end", f"{CLAUDE}::test_bug_12_a_stream_that_stops_is_no_end"),
    13: ("an error without [DONE]", f"{IMITATORS}::test_bug_13_an_error_in_the_middle_is_told_and_ends_the_stream"),
    14: ("a chat's error among events", f"{RESPONSES}::test_bug_14_a_broken_stream_says_so_in_its_own_words"),
    15: ("thinking in a text block", f"{MESSAGES}::test_bug_15_thinking_in_a_text_block"),
    16: ("the first token of a block is lost", f"{MESSAGES}::test_bug_16_the_first_token_of_a_block_is_lost"),
    17: ("calls end the turn", f"{MESSAGES}::test_bug_17_calls_end_the_turn_behind_empty_text"),
    18: ("Gemini's arguments are dropped", f"{MESSAGES}::test_bug_18_arguments_are_dropped"),
    19: ("blocks overlap", f"{MESSAGES}::test_bug_19_blocks_overlap"),
    20: ("parallel results are many turns", f"{CLAUDE}::test_bug_20_parallel_results_are_one_turn"),
    21: ("toolConfig is missing", f"{BEDROCK}::test_bug_21_tools_of_the_conversation_are_always_there"),
    22: ("empty text blocks", f"{CLAUDE}::test_bug_22_empty_text_is_left_out"),
    23: ("no thinking before a call", f"{CLAUDE}::test_bug_23_thinking_stands_before_the_call"),
    24: ("the declared type of a picture", f"{CLAUDE}::test_bug_24_the_bytes_say_what_a_picture_is"),
    25: ("`jpg`, and base64 twice", f"{BEDROCK}::test_bug_25_pictures_are_encoded_once_and_named_rightly"),
    26: ("addresses become base64", f"{CLAUDE}::test_bug_26_links_stay_links"),
    27: ("cached tokens cost wrongly", f"{CLAUDE}::test_bug_27_cached_tokens_are_part_of_the_input"),
    28: ("characters cut in two", f"{CLAUDE}::test_bug_28_characters_may_be_split_between_reads"),
    29: ("Azure's chunk without choices", f"{IMITATORS}::test_bug_29_azures_first_event_has_a_choice"),
    30: ("the role developer is refused", f"{IMITATORS}::test_bug_30_developers_are_heard"),
    31: ("Mistral's ids of nine characters", f"{IMITATORS}::test_bug_31_mistrals_ids_have_nine_characters"),
    32: ("keywords of Gemini's schemas", f"{GEMINI}::test_bug_32_schemas_are_sent_as_they_are_or_cut_down"),
    33: ("thought signatures are lost", f"{GEMINI}::test_bug_33_thought_signatures_go_round"),
    34: (
        "the encoding of vectors",
        "providers/test_gemini_served.py::test_bug_34_vectors_have_the_encoding_that_was_asked_for",
    ),
    35: ("sampling for new Claudes", f"{CLAUDE}::test_bug_35_new_models_get_no_sampling"),
    36: ("one header for keys", "http/test_messages.py::test_bug_36_only_one_header_for_keys"),
    37: ("the list of models", "http/test_messages_models.py::test_bug_37_models_for_clients_of_anthropic"),
}
NAMED = re.compile(r"test_bug((?:_and)?_\d\d)+")


@lru_cache
def names_in(file: Path) -> frozenset[str]:
    """The tests of a file, as pytest finds them."""
    found = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))


@pytest.mark.parametrize("number", BUGS)
def test_every_number_has_a_test(number: int) -> None:
    """The named test is there, and carries the number."""
    file, _, name = BUGS[number][1].partition("::")
    assert name in names_in(ROOT / "tests" / file)
    assert name.startswith(f"test_bug_{number:02}_")


def test_every_named_test_has_a_number() -> None:
    """The list is whole, and nothing is called by a number that is not in it."""
    assert sorted(BUGS) == list(range(1, 38))
    for file in (ROOT / "tests").rglob("test_*.py"):
        if "node_modules" not in file.parts and b"def test_bug_" in file.read_bytes():
            named = (match[0] for name in names_in(file) if (match := NAMED.match(name)))
            assert {int(number) for name in named for number in re.findall(r"\d\d", name)} <= BUGS.keys(), file
