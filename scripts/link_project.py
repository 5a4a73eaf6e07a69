"""Put this project and its `gateway` command into an environment without a build: a path file and a launcher.

An editable install would fetch a build backend that no lock pins; these two files do the same with nothing fetched.
Usage: `python link_project.py .venv/bin/python`.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write `site-packages/gateway.pth` and `bin/gateway` for the interpreter given as the only argument."""
    python = Path(sys.argv[1]).absolute()
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(purelib, "llm_gateway.pth").write_text(f"{ROOT}\n")
    launcher = python.parent / "gateway"
    launcher.write_text(f"#!{python}\nimport sys\n\nfrom gateway.cli import main\n\nsys.exit(main())\n")
    launcher.chmod(0o755)


if __name__ == "__main__":
    main()
