"""The error of a call that nobody can be asked, in words for the person who made it. Decides nothing."""

from __future__ import annotations

from adapters.errors import LLMError
from registry.routing.resolve import Ask, Resolution


class NoCandidateError(LLMError):
    """Nothing can be called for what was asked; `resolution` says why."""

    code = "model_not_found"
    status = 404

    def __init__(
        self,
        message: str,
        *,
        resolution: Resolution,
        code: str,
        status: int,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        """`should_retry` False tells clients that the same call will fail again for as long as anybody waits."""
        super().__init__(message, retry_after_s=retry_after_s)
        self.should_retry = should_retry
        self.resolution = resolution
        self.code = code
        self.status = status


def refusal(resolution: Resolution, ask: Ask, *, because: LLMError | None = None) -> NoCandidateError:
    """The error for a resolution without candidates; `because` is what stopped the first that could have been tried."""
    if because is not None:
        return NoCandidateError(
            because.message,
            resolution=resolution,
            code=because.code,
            status=because.status,
            retry_after_s=because.retry_after_s,
            should_retry=getattr(because, "should_retry", None),
        )
    codes = {drop.code for drop in resolution.dropped}
    if not resolution.dropped:
        message = "No model is set up yet: an admin enables one, or you add a key of your own."
        return NoCandidateError(message, resolution=resolution, code="model_not_found", status=404)
    reasons = " ".join(dict.fromkeys(f"{drop.name}: {drop.reason}" for drop in resolution.dropped[:3]))
    if codes == {"not_found"}:
        return NoCandidateError(resolution.dropped[0].reason, resolution=resolution, code="model_not_found", status=404)
    if codes <= {"not_found", "not_allowed"}:
        return NoCandidateError(reasons, resolution=resolution, code="model_not_allowed", status=403)
    if "over_budget" in codes:
        return NoCandidateError(
            reasons, resolution=resolution, code="insufficient_quota", status=429, should_retry=False
        )
    if codes == {"unpriced"}:
        return NoCandidateError(reasons, resolution=resolution, code="model_unpriced", status=403)
    for code, status in (("breaker_open", 503), ("rate_limited", 429)):
        if code in codes:
            waits = [drop.retry_after_s for drop in resolution.dropped if drop.retry_after_s is not None]
            return NoCandidateError(
                reasons,
                resolution=resolution,
                code=code,
                status=status,
                retry_after_s=min(waits, default=None),
                should_retry=True,
            )
    code = "no_key" if "no_key" in codes else "no_candidate"
    return NoCandidateError(reasons, resolution=resolution, code=code, status=400)


def missed(resolution: Resolution, ask: Ask) -> bool:
    """Whether something that was named was not found: it may have been made a moment ago."""
    named = {ask.model, *ask.models}
    return not resolution.candidates or any(
        drop.code == "not_found" and drop.name in named for drop in resolution.dropped
    )
