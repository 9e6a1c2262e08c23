"""`make supply-chain`: what a virtualenv starts by itself, and whether the locks pin everything. Standard library only.

A `.pth` file with an import line, `sitecustomize` and `usercustomize` run at every start of Python, before any code of
ours: LiteLLM 1.82.7 and 1.82.8 stole keys that way (24 March 2026).
"""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-installer.txt",
    "requirements-live.txt",
    "requirements-sbom.txt",
)
# What runs at start-up, by name and the pattern its whole text must have: anything else is looked at by a person.
KNOWN: Final[dict[str, re.Pattern[str]]] = {
    # coverage's own, which does nothing unless a test run asks for it
    "a1_coverage.pth": re.compile(
        r"""import sys; exec\('import os\\n\\nif os\.getenv\("COVERAGE_PROCESS_START"\) or """
        r"""os\.getenv\("COVERAGE_PROCESS_CONFIG"\):\\n try:\\n  import coverage\\n except:\\n  pass\\n else:\\n"""
        r"""  coverage\.process_startup\(slug="pth"\)'\)\s*"""
    ),
    "distutils-precedence.pth": re.compile(
        r"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get\(var, '(local|stdlib)'\) == 'local'; "
        r"enabled and __import__\('_distutils_hack'\)(\.add_shim\(\))?; ?\s*"
    ),
    "_virtualenv.pth": re.compile(r"import _virtualenv\s*"),  # what uv puts into a virtualenv that it makes
}
_PIN: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?==\S+")


def start_up_files(folder: Path) -> list[str]:
    """What in a site-packages folder runs at every start of Python and is not known; empty when all is well."""
    problems = []
    for path in sorted(folder.glob("*.pth")):
        text = path.read_text(encoding="utf-8", errors="replace")
        runs = any(line.startswith(("import ", "import\t")) for line in text.splitlines())
        known = KNOWN.get(path.name)
        if runs and not (known and known.fullmatch(text)):
            digest = hashlib.sha256(text.encode()).hexdigest()
            problems.append(f"{path.name} runs code at every start of Python and is not known (SHA-256 {digest})")
    for name in ("sitecustomize", "usercustomize"):
        problems += [f"{path.name} runs at every start of Python" for path in sorted(folder.glob(f"{name}*"))]
    return problems


def unpinned(lock: Path) -> list[str]:
    """Requirements of a lock that name no exact version or no hash."""
    problems, entries = [], re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))
    for entry in entries:
        first = entry.strip().split("\n")[0]
        if not first or first.startswith("#"):
            continue
        if not _PIN.match(first) or "--hash=sha256:" not in entry:
            problems.append(f"{lock.name}: {first.split(';')[0].strip()} is not pinned by version and hash")
    return problems


def main() -> int:
    problems = start_up_files(Path(sysconfig.get_paths()["purelib"]))
    for name in LOCKS:
        problems += unpinned(ROOT / name)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("Nothing unknown runs at Python's start; every requirement is pinned by version and hash.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
