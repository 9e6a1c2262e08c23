"""Finds what the comparison needs, installs what can be had, says what could not. Leaves the project's own alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

CACHE = Path(os.environ.get("LLMHUB_CACHE_DIR") or ROOT / ".cache").absolute() / "bench"
PIP_S, NPM_S, APT_S = 420, 180, 180  # what an installation may take


class NotInstalled(Exception):
    """A tool that is not here and could not be had; the text says why."""


def ensure_command(name: str, package: str) -> str:
    """The path of a command, from the system's packages where it is missing. Raises NotInstalled."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found:
        return found
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise NotInstalled(f"{name} is not installed (apt-get install {package})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        _run([apt, *arguments], APT_S, f"apt-get could not install {package}", env=environment)
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        raise NotInstalled(f"{package} brought no {name}")
    return found


def ensure_litellm() -> Path:
    """LiteLLM's proxy in a virtualenv of its own. Raises NotInstalled."""
    home = CACHE / "litellm"
    program = home / "bin" / "litellm"
    if (home / ".installed").exists():
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    why = "pip could not install litellm[proxy]"
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], 60, why)
        _run([uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), "litellm[proxy]"], PIP_S, why)
    else:
        _run([sys.executable, "-m", "venv", "--clear", str(home)], 120, why)
        _run([str(home / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"], PIP_S, why)
    (home / ".installed").touch()
    return program


def ensure_portkey() -> Path:
    """The folder of Portkey's gateway. Raises NotInstalled."""
    home = CACHE / "portkey"
    package = home / "node_modules" / "@portkey-ai" / "gateway"
    if (package / "build" / "start-server.js").exists():
        return package
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotInstalled("node and npm are not installed")
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text('{"private": true}\n')
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "@portkey-ai/gateway"]
    _run(command, NPM_S, "npm could not install @portkey-ai/gateway", cwd=home)
    if not (package / "build" / "start-server.js").exists():
        raise NotInstalled("npm's @portkey-ai/gateway has no build/start-server.js")
    return package


def _run(command: list[str], seconds: int, why: str, **options: object) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds, **options)  # type: ignore[call-overload]  # options of run as they came
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{why} within {seconds} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise NotInstalled(f"{why}: {said[-1][:200] if said else 'no word why'}") from None
