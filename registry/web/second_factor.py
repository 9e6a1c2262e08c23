"""Second factors: kept in the vault, tried a few times, asked of whom the setting names. Sessions and their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.adapter import get_adapter as get_sessions_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from registry.access import audit
from registry.models import User
from registry.vault.second_factors import open_secret, seal_secret
from registry.web import throttle
from registry.web.sign_in import end_page_tokens

# Where somebody without a second factor may still go while one is asked of them: these paths, and those below.
_OPEN_PATHS: Final = ("/accounts/2fa/", "/accounts/reauthenticate/", "/accounts/logout/", "/accounts/password/",
                      "/static/", "/healthz", "/readyz")  # fmt: skip


class SecondFactors(DefaultMFAAdapter):
    """What authenticator apps share with the hub is a key like others, so the vault keeps it."""

    def encrypt(self, text: str) -> str:
        return seal_secret(text)

    def decrypt(self, encrypted_text: str) -> str:
        return open_secret(encrypted_text)

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())

    def generate_authenticator_name(self, user: Any, type: Authenticator.Type) -> str:
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return "My passkey" if not count else f"Passkey {count + 1}"

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """The last one stays where one is asked of its owner."""
        others = Authenticator.objects.filter(user_id=authenticator.user_id).exclude(pk=authenticator.pk)
        return not must_have(authenticator.user) or others.exclude(type=Authenticator.Type.RECOVERY_CODES).exists()


class _Counted:
    """Six digits are guessed in a day without this."""

    user: Any

    def clean_code(self) -> str:
        if throttle.take_code_try(self.user.pk):
            raise get_account_adapter().validation_error("too_many_login_attempts")
        code: str = super().clean_code()  # type: ignore[misc]  # of the form beside it
        throttle.forget_code_tries(self.user.pk)
        return code


class CodeForm(_Counted, AuthenticateForm):
    """A code after the password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _dress(self)


class ConfirmCodeForm(_Counted, ReauthenticateForm):
    """A code before something that matters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _dress(self)


def _dress(form: Any) -> None:
    attrs = form.fields["code"].widget.attrs
    attrs.pop("placeholder", None)
    attrs |= {"autofocus": True, "autocapitalize": "none", "spellcheck": "false", "maxlength": 32}
    form.fields["code"].help_text = "From your authenticator app, or one of your recovery codes."


class Sessions(DefaultUserSessionsAdapter):
    """A session that ends takes the tokens of its open pages with it."""

    def end_sessions(self, sessions: Iterable[Any]) -> None:
        ended = list(sessions)
        super().end_sessions(ended)
        for user in {session.user_id: session.user for session in ended}.values():
            end_page_tokens(user)


def end_sessions(rows: Iterable[UserSession], actor: Any, address: str | None) -> None:
    """End sessions, whoever's they are, and note it."""
    ending = list(rows)
    get_sessions_adapter().end_sessions(ending)
    for row in ending:
        details = {"address": row.ip, "browser": browser_name(row.user_agent)}
        audit.record(actor, "end session", row.user, None, details, address)


def browser_name(user_agent: str) -> str:
    """A browser and a system in few words, from a header that may say anything."""
    names = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    systems = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
               ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip
    browser = next((name for mark, name in names if mark in user_agent), "")
    system = next((name for mark, name in systems if mark in user_agent), "")
    return " on ".join(part for part in (browser, system) if part) or user_agent[:40] or "unknown"


class SecondFactorMiddleware:
    """Sends whoever must have a second factor and has none to where one is set up, from every page and the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.LLMHUB_REQUIRE_MFA != "nobody" and not request.path.startswith(_OPEN_PATHS):
            user = request.user
            if user.is_authenticated and must_have(user) and not has_one(user):
                if request.path.startswith("/api/"):
                    error = {"type": "permission_denied", "code": "second_factor_needed",
                             "message": "Set up a second factor first: /accounts/2fa/."}  # fmt: skip
                    return JsonResponse({"error": error}, status=403)
                messages.warning(request, "Set up a second factor to go on: your role asks for one.")
                return redirect("mfa_index")
        return self.get_response(request)


def must_have(user: Any) -> bool:
    """Whether the setting asks a second factor of this person."""
    wanted = settings.LLMHUB_REQUIRE_MFA
    return wanted == "all" or (wanted == "managers" and user.is_manager)


def has_one(user: Any) -> bool:
    return Authenticator.objects.filter(user_id=user.pk).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()


def reset(user: User, actor: User, address: str | None) -> int:
    """Take all second factors of somebody who lost theirs; answers how many there were."""
    count, _ = Authenticator.objects.filter(user_id=user.pk).delete()
    if count:
        audit.record(actor, "reset 2fa", user, None, {"second_factors": count}, address)
    return count
