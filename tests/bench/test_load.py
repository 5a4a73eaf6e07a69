import re
from pathlib import Path

import pytest

from bench import load
from bench.processes import BenchError

LINE = (
    'wrk-summary {"requests":8000,"duration_us":4000000,"bytes":8888000,"p50_us":1200.000000,"p99_us":2900.000000,'
    '"status_errors":3,"socket_errors":2,"timeouts":1}'
)


def test_summary_is_read_from_wrks_output() -> None:
    """The line of the script is found among wrk's own; times become seconds and milliseconds, errors one number."""
    summary = load.parse(f"Running 4s test @ http://127.0.0.1\n  1 threads\n{LINE}\n")
    assert (summary.requests, summary.seconds, summary.rps) == (8000, 4.0, 2000.0)
    assert (summary.p50_ms, summary.p99_ms, summary.errors) == (1.2, 2.9, 6)


def test_output_without_a_summary_is_an_error() -> None:
    """A wrk that failed is no measurement of zero."""
    with pytest.raises(BenchError, match="no summary"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_lua_strings_cannot_end_early() -> None:
    """Quotes, backslashes and line ends in a header are escaped for Lua."""
    assert load.quote('a"b\\c\nd') == '"a\\034b\\092c\\010d"'


def test_script_posts_the_file_with_the_headers() -> None:
    """Every header of the system and the path of the body stand in the script, and the summary line is whole."""
    text = load.script(Path("/tmp/body.json"), {"authorization": "Bearer x", "x-portkey-provider": "openai"})
    assert 'io.open("/tmp/body.json")' in text
    assert 'wrk.headers["x-portkey-provider"] = "openai"' in text
    keys = set(re.findall(r'"(\w+)":%', text))
    assert keys == set(re.findall(r'"(\w+)":', LINE))
