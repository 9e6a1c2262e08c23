"""Slows down guessing of passwords and codes: failures by name and address, by code and person. Counts for all workers.

Names nobody has are counted like others, so that the count says nothing of who has an account.
"""

from __future__ import annotations

from registry.access.rates import network_of, shared_rates

WINDOW_S = 900
MAX_FAILURES = 5  # of one name from one address
MAX_FAILURES_OF_ADDRESS = 50  # of all names from one address
MAX_WRONG_CODES = 5  # of one person, from wherever: a code has six digits


def take_try(address: str, name: str) -> int:
    """Count a try at this name and answer 0, or answer the seconds until the next one. Exact for tries at once."""
    rates = shared_rates()
    return rates.wait_s(_key(address), MAX_FAILURES_OF_ADDRESS, WINDOW_S) or rates.take(
        _key(address, name), MAX_FAILURES, WINDOW_S
    )


def note_failure(address: str) -> None:
    """A try of this address failed, at whatever name."""
    shared_rates().note(_key(address), WINDOW_S)


def forget(address: str, name: str) -> None:
    """A correct password clears the count of that name; the address keeps its own."""
    shared_rates().forget(_key(address, name), WINDOW_S)


def take_code_try(user: object) -> int:
    """Count a try at this person's second factor and answer 0, or answer the seconds until the next one."""
    return shared_rates().take(f"code/{user}", MAX_WRONG_CODES, WINDOW_S)


def forget_code_tries(user: object) -> None:
    shared_rates().forget(f"code/{user}", WINDOW_S)


def _key(address: str, name: str | None = None) -> str:
    # White space and case make no other name. Lone surrogates can't be hashed as they are.
    text = "" if name is None else name.strip().casefold()
    return f"sign-in/{network_of(address)}/{text.encode('utf-8', 'replace').decode()}/{name is not None}"
