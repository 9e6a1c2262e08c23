"""What `make` runs before the virtualenv exists: checks the machine, installs a lock, starts the hub.

Standard library only, and no syntax newer than Python 3.7, so that an old Python reads far enough to be told so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
START = time.monotonic()


class CannotStart(Exception):
    """Something about the machine, said in one sentence that also says what to do."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bootstrap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="install, prepare and serve the hub")
    install = commands.add_parser("install", help="install a lock into a virtualenv")
    install.add_argument("--lock", default="requirements.txt")
    install.add_argument("--venv", default=".venv")
    install.add_argument("--compiles", action="store_true", help="the lock holds C++ that is compiled here")
    options = parser.parse_args(arguments)
    try:
        check_python()
        if options.command == "run":
            run()
        else:
            install_lock(ROOT / options.lock, ROOT / options.venv, compiles=options.compiles)
    except CannotStart as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run() -> None:
    """Install, prepare, and become the server: the process id stays, so a signal reaches the supervisor."""
    port = read_port(os.environ.get("PORT", ""))
    check_port("127.0.0.1", port)
    python = str(install_lock(ROOT / "requirements.txt", ROOT / ".venv"))
    manage = str(ROOT / "manage.py")
    progress("Preparing the hub")
    os.chdir(str(ROOT))
    os.execv(python, [python, manage, "prepare", "--port", str(port), "--serve"])  # noqa: S606 (a fixed program, no shell)


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        running = ".".join(str(part) for part in sys.version_info[:3])
        wanted = ".".join(str(part) for part in OLDEST_PYTHON)
        raise CannotStart(
            f"LLM Hub needs Python {wanted} or newer and {sys.executable} is {running}: "
            "name a newer one, for example `make run PYTHON=python3.12`."
        )


def read_port(text: str) -> int:
    if not text:
        return 8000
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise CannotStart("PORT must be a number from 1 to 65535.")
    return int(text)


def check_port(host: str, port: int) -> None:
    """Raise when something already listens there; the server itself would share the port silently (SO_REUSEPORT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {host} cannot be used ({error.strerror}): stop what listens there, "
                f"or pick another, for example `make run PORT={port + 1 if port < 65535 else 8000}`."
            ) from None


def install_lock(lock: Path, venv: Path, *, compiles: bool = False) -> Path:
    """The virtualenv's Python, with exactly what the lock names installed; does nothing when that was done before.

    uv when it can be had, pip otherwise: both check every file against the lock's hashes and use the package index that
    the user's own configuration names.
    """
    python = venv / "bin" / "python"
    stamp = venv / f"installed-{lock.stem}"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    uv = None if os.environ.get("LLMHUB_NO_UV") else shutil.which("uv")
    if not works(python):
        make_venv(venv, uv)
    elif stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if uv is None and not os.environ.get("LLMHUB_NO_UV"):
        uv = fetch_uv(venv)
    # Python writes the bytecode of what a hub imports as it goes; writing all of it takes longer than the install.
    quiet = ["--quiet"] if uv else ["--quiet", "--no-deps", "--no-compile"]
    takes = "up to a minute"
    if compiles:
        check_compilers()
        takes = "about five minutes, it compiles"
    begun = time.monotonic()
    progress(f"Installing {lock.name} with {'uv' if uv else 'pip'} (the first time takes {takes})")
    installer = [uv, "pip", "install", "--python", str(python)] if uv else [*pip_for(venv), "install"]
    command = [*installer, *quiet, "--require-hashes", "-r", str(lock)]
    if subprocess.run(command, cwd=str(ROOT)).returncode != 0:
        raise CannotStart(f"Installing {lock.name} failed; the installer's own words are above.")
    stamp.write_text(wanted, encoding="utf-8")
    progress(f"Installed in {time.monotonic() - begun:.1f} s")
    return python


def fetch_uv(venv: Path) -> str | None:
    """uv from its own lock, inside the virtualenv: it installs the rest in a quarter of pip's time. None: pip does.

    Not where pip is told to use another index or none: uv does not read pip's configuration.
    """
    uv = venv / "bin" / "uv"
    if not uv.exists():
        if pip_has_an_index():
            return None
        lock = str(ROOT / "requirements-installer.txt")
        quietly([*pip_for(venv), "install", "--no-deps", "--no-compile", "--require-hashes", "-r", lock])
    return str(uv) if quietly([str(uv), "--version"]) is not None else None


def pip_has_an_index() -> bool:
    """Whether pip's environment or files name an index of their own. Read here: asking pip itself takes seconds."""
    home = Path.home()
    shared = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf"]
    files += [Path(folder) / "pip" / "pip.conf" for folder in shared.split(":")]
    files.append(Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf")
    if os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    named = any(name.startswith("PIP_") and "INDEX" in name for name in os.environ)
    return named or any("index" in text for text in texts)


def pip_for(venv: Path) -> list[str]:
    """The virtualenv's own pip where it has one, else this Python's, aimed at the virtualenv."""
    if (venv / "bin" / "pip").exists():
        return [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    python = str(venv / "bin" / "python")
    return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--no-input"]


def quietly(command: list[str]) -> str | None:
    """What the command printed, None when it failed or is not there."""
    try:
        done = subprocess.run(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def works(python: Path) -> bool:
    """False for a virtualenv that is not there, was cut off half-made, or lost the Python it was made with."""
    if not python.exists():
        return False
    check = "import sys; sys.exit(sys.version_info < %r)" % (OLDEST_PYTHON,)  # noqa: UP031  # must run on the Pythons it refuses
    try:
        done = subprocess.run([str(python), "-c", check], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def make_venv(venv: Path, uv: str | None) -> None:
    progress(f"Making a virtualenv in {venv.name}")
    if venv.is_symlink():
        raise CannotStart(f"{venv} is a link to a virtualenv that does not work: remove the link and try again.")
    if uv:
        command = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)]
    else:
        check_venv_module()
        # A pip of its own takes longer to unpack than all else; --python came with pip 22.3.
        without = ["--without-pip"] if pip_version() >= (22, 3) else []
        command = [sys.executable, "-m", "venv", "--clear", *without, str(venv)]
    if subprocess.run(command, cwd=str(ROOT)).returncode != 0:
        raise CannotStart(f"The virtualenv in {venv} could not be made; the reason is above.")


def pip_version() -> tuple[int, ...]:
    """This Python's pip, (0,) when it has none."""
    from importlib import metadata

    try:
        return tuple(int(part) for part in metadata.version("pip").split(".")[:2])
    except (metadata.PackageNotFoundError, ValueError):
        return (0,)


def check_venv_module() -> None:
    """Debian and its kin ship Python without these two; venv would fail half-way with a longer story."""
    try:
        import ensurepip  # noqa: F401  # only whether it is there
        import venv  # noqa: F401  # only whether it is there
    except ImportError:
        minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise CannotStart(
            f"This Python cannot make virtualenvs (no venv or ensurepip module): on Debian and Ubuntu "
            f"run `apt install python{minor}-venv`, or install uv, and try again."
        ) from None


def check_compilers() -> None:
    """Raise when llama.cpp could not be compiled; else say what to leave out.

    Not for this processor alone, since the cache may move to an older one; no image models; little optimisation, which
    a model of 200 kB does not need and which takes most of the compiler's time.
    """
    missing = [name for name in ("gcc", "g++", "cmake") if not shutil.which(name)]
    if missing:
        raise CannotStart(
            f"Compiling the real model server needs {', '.join(missing)}: on Debian and Ubuntu run "
            "`apt install gcc g++ cmake`, and try again."
        )
    flags = "-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O1"
    os.environ.setdefault("CMAKE_ARGS", flags)


def progress(line: str) -> None:
    print(f"[{time.monotonic() - START:5.1f} s] {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
