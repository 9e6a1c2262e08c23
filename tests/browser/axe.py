"""Asks axe-core (axe.min.js beside this file: npm `axe-core`, MPL-2.0, unchanged) what keeps people from a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("axe.min.js").read_text("utf-8")
GRAVE = ("serious", "critical")


def violations(page: Any) -> list[str]:
    """Serious and critical ones of the page as it stands: rule and the first places. Goes past the page's policy."""
    session = page.context.new_cdp_session(page)
    try:
        _evaluate(session, SOURCE)
        found = _evaluate(session, "axe.run(document, {resultTypes: ['violations']})")
    finally:
        session.detach()
    return [
        f"{one['id']}: {json.dumps([node['target'] for node in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in GRAVE
    ]


def _evaluate(session: Any, expression: str) -> Any:
    answer = session.send(
        "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": expression is not SOURCE}
    )
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"].get("value")
