"""`make mutation`: breaks a guard's code in one place at a time and counts how often its own tests notice.

One warm process a guard: Django, the tests and a fresh database are there before it forks for every mutant, and there
only the tests run that go through the mutated function (a first run with coverage says which), so that a mutant takes
half a second where mutmut and cosmic-ray start anew for every one. Nothing is written to the tree. A mutant that can
not change what anybody sees stands in tests/equivalent_mutants.py with its reason; it counts neither way.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.equivalent_mutants import EQUIVALENT
from tests.mutants import ROOT, Mutant, mutants_of, swap_in

FIRST: Final = 10
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
BARE: Final = ["-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "-p", "no:django"]
PLAIN = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"]
PLAIN += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is here before the tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    bare: bool = False  # pure functions: no Django, no database, no conftest
    postgres: bool = False  # what SQLite has not


GUARDS: Final = {
    "egress": Guard(modules=("adapters.egress",), tests=("tests/adapters/test_egress.py",), bare=True),
    "resolver": Guard(modules=("adapters.connections",), tests=("tests/adapters/test_transport_dns.py",)),
    "redaction": Guard(modules=("adapters.redaction",), tests=("tests/adapters/test_redaction.py",), bare=True),
    "vault": Guard(
        modules=("registry.vault.keyring", "registry.vault.fields", "registry.vault.second_factors"),
        tests=("tests/vault",),
    ),
    "wall": Guard(modules=("registry.vault.row_security",), tests=("tests/vault/test_row_security.py",), postgres=True),
    "tokens": Guard(
        modules=("registry.access.tokens", "registry.models.access_token"),
        tests=("tests/access/test_tokens.py", "tests/access/test_token_rotation.py"),
    ),
    "budgets": Guard(
        modules=("registry.routing.budgets", "registry.models.budget"),
        tests=("tests/routing/test_budgets.py", "tests/routing/test_budget_clock.py"),
    ),
    "visibility": Guard(
        modules=("registry.models.base", "registry.access.principals"),
        tests=(
            *(f"tests/models/test_{name}.py" for name in ("base", "visibility", "change_log", "constraints")),
            "tests/access/test_tokens.py",
        ),
    ),
    "endpoints": Guard(modules=("registry.catalog.endpoints",), tests=("tests/catalog/test_endpoints.py",)),
}


class _Watched:
    """A plugin: which test goes through which lines, and how long it takes."""

    def __init__(self, files: dict[str, str]) -> None:
        import coverage

        self.files = files  # by module
        self.coverage = coverage.Coverage(data_file=None, config_file=False, include=list(files.values()))
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def seen(self) -> dict[str, Any]:
        data = self.coverage.get_data()
        through = {
            module: {line: [one for one in found if one] for line, found in data.contexts_by_lineno(file).items()}
            for module, file in self.files.items()
        }
        return {"through": through, "seconds": self.seconds}


class Bench:
    """One guard's tests, warm: what a fork of this process runs begins at once."""

    def __init__(self, guard: Guard, folder: Path) -> None:
        self.guard, self.folder = guard, folder
        self.through: dict[str, dict[str, list[str]]] = {}
        self.seconds: dict[str, float] = {}
        self.database = self.pristine = Path()

    def warm_up(self) -> None:
        """Import the tests, make the database, and see which test goes where. Raises SystemExit where one fails."""
        import hypothesis

        # The same examples every time; a failing one is enough as it is.
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutation", phases=phases, database=None, derandomize=True)
        hypothesis.settings.load_profile("mutation")
        if not self.guard.bare:
            self._make_database()
        # Imported here, the tests' modules are there in every fork.
        if self._pytest(["--collect-only", *self.guard.tests]):
            raise SystemExit(f"the guard's tests can't be collected\n{self._told()}")
        told = self.folder / "seen.json"
        files = {module: str(ROOT / (module.replace(".", "/") + ".py")) for module in self.guard.modules}

        def watched() -> int:
            plugin = _Watched(files)
            plugin.coverage.start()
            code = self._pytest(list(self.guard.tests), plugin)
            plugin.coverage.stop()
            told.write_text(json.dumps(plugin.seen()))
            return code

        if self._forked(watched, 1200) != 0:
            raise SystemExit(f"the guard's tests fail on the code as it is\n{self._told()}")
        seen = json.loads(told.read_text())
        self.through, self.seconds = seen["through"], seen["seconds"]
        gc.collect()
        gc.freeze()  # what all forks share is not looked through in each

    def _make_database(self) -> None:
        import django.test.utils as utils
        from django.db import connection

        with Path(os.devnull).open("w") as quiet, _output_to(quiet.fileno()):
            utils.setup_databases(verbosity=0, interactive=False)
        connection.close()
        if connection.vendor == "sqlite":
            self.database = Path(connection.settings_dict["NAME"])
            self.pristine = self.folder / "pristine.sqlite3"
            shutil.copyfile(self.database, self.pristine)
        # What pytest-django asks for in every fork is there already.
        utils.setup_databases = lambda *_, **__: []
        utils.teardown_databases = lambda *_, **__: None

    def _pytest(self, arguments: list[str], *plugins: object) -> int:
        import pytest

        with (self.folder / "output").open("w") as kept, _output_to(kept.fileno()):
            return int(pytest.main([*PLAIN, *(BARE if self.guard.bare else []), *arguments], plugins=list(plugins)))

    def _told(self) -> str:
        return (self.folder / "output").read_text(errors="replace")[-3000:]

    def _forked(self, work: Any, limit_s: float) -> int | None:
        """The exit code of `work` in a fork of this process; None when it took too long."""
        if self.pristine.name:
            for ending in ("-wal", "-shm"):
                self.database.with_name(self.database.name + ending).unlink(missing_ok=True)
            shutil.copyfile(self.pristine, self.database)
        child = os.fork()
        if child == 0:
            code = 3
            try:
                os.setpgid(0, 0)
                code = work()
            finally:
                os._exit(code)
        ends_at = time.monotonic() + limit_s
        while not (found := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > ends_at:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.005)
        return os.waitstatus_to_exitcode(found[1])

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Tests that go through the mutant's function: those through its very line first, the quick ones first."""
        lines = self.through[mutant.module]
        here = {test for line in mutant.lines for test in lines.get(str(line), ())}
        exact = set(lines.get(str(mutant.line), ()))
        return sorted(here, key=lambda test: (test not in exact, self.seconds.get(test, 0.0)))

    def outcome_of(self, mutant: Mutant) -> str:
        """A few quick tests first, which notice most; then all of them."""
        tests = self.tests_of(mutant)
        outcome = SURVIVED
        for some in (tests[:FIRST], tests[FIRST:]):
            if some and outcome == SURVIVED:
                outcome = self._tried(mutant, some)
        return outcome

    def _tried(self, mutant: Mutant, tests: list[str]) -> str:
        def mutated() -> int:
            swap_in(mutant)
            return self._pytest(["-x", *tests])

        code = self._forked(mutated, 20 + 5 * sum(self.seconds.get(test, 0.0) for test in tests))
        if code is None:
            return TIMED_OUT
        if code not in (0, 1, 2):
            raise SystemExit(f"the mutant could not be tried (exit {code}): {mutant}\n{self._told()}")
        return KILLED if code else SURVIVED


class _output_to:
    """File descriptors 1 and 2 lead elsewhere for a while."""

    def __init__(self, target: int) -> None:
        self.target = target

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(self.target, number)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), self.kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)


def run(name: str, at_most: int, seed: int) -> tuple[int, int]:
    """Answer how many mutants were noticed, of how many; survivors are printed."""
    guard = GUARDS[name]
    found = [mutant for module in guard.modules for mutant in mutants_of(module)]
    mutants = [mutant for mutant in found if f"{mutant.module} {mutant.function}: {mutant.what}" not in EQUIVALENT]
    alike, known = len(found) - len(mutants), len(mutants)
    if at_most and known > at_most:
        mutants = sorted(random.Random(seed).sample(mutants, at_most), key=lambda m: (m.module, m.line))
    begun, outcomes = time.monotonic(), {KILLED: 0, SURVIVED: 0, TIMED_OUT: 0}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(guard, Path(folder))
        bench.warm_up()
        for mutant in mutants:
            outcome = bench.outcome_of(mutant)
            outcomes[outcome] += 1
            if outcome == SURVIVED:
                print(f"  survived: {mutant}", flush=True)
    noticed = len(mutants) - outcomes[SURVIVED]
    print(
        f"{name}: {noticed} of {len(mutants)} killed ({100 * noticed / len(mutants):.1f} %), {outcomes[TIMED_OUT]} of "
        f"them by time; {known} there are, and {alike} that change nothing; {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    return noticed, len(mutants)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("guards", nargs="*", choices=[[], *GUARDS], default=[])
    parser.add_argument("--at-most", type=int, default=0, metavar="N", help="a sample of N mutants a guard; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--floor", type=float, default=90.0, help="fail below so many percent (default 90)")
    options = parser.parse_args()
    names = options.guards or list(GUARDS)
    if len(names) > 1:  # each in a process of its own: one's imports and servers are not another's
        one = [sys.executable, "-W", "ignore", "-m", "tests.mutation"]
        rest = ["--at-most", str(options.at_most), "--seed", str(options.seed), "--floor", str(options.floor)]
        return max(subprocess.run([*one, name, *rest], cwd=ROOT, check=False).returncode for name in names)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.chdir(ROOT)
    if GUARDS[names[0]].postgres:
        import tests.postgres_plugin  # noqa: F401  # starts the server and says where it is
    import django

    django.setup()
    noticed, total = run(names[0], options.at_most, options.seed)
    return 1 if 100 * noticed < options.floor * total else 0


if __name__ == "__main__":
    sys.exit(main())
