"""Size limits: files of at most 500 lines, functions of at most 60 lines and 7 arguments. Offenders are named."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("gateway", "tests", "bench", "scripts")
MAX_FILE, MAX_FUNCTION, MAX_ARGUMENTS = 500, 60, 7


def offenders(path: Path) -> Iterator[str]:
    """What is too large in one file."""
    text = path.read_text()
    name = path.relative_to(ROOT)
    lines = text.count("\n")
    if lines > MAX_FILE:
        yield f"{name}: {lines} lines, at most {MAX_FILE} (split it by noun)"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        size = (node.end_lineno or node.lineno) - node.lineno + 1
        if size > MAX_FUNCTION:
            yield f"{name}:{node.lineno}: {node.name} has {size} lines, at most {MAX_FUNCTION}"
        arguments = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
        if arguments > MAX_ARGUMENTS:
            yield f"{name}:{node.lineno}: {node.name} has {arguments} arguments, at most {MAX_ARGUMENTS}"


def main() -> int:
    """Check every Python file of the project."""
    ours = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    files = sorted(path for path in ours if not {"node_modules", ".peers"}.intersection(path.parts))
    found = [line for path in files for line in offenders(path)]
    print("\n".join(found) or f"{len(files)} files within the limits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
