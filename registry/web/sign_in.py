"""Signing in and out through allauth, so that second factors and single sign-on share one way in. Makes no account."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import LoginForm, ReauthenticateForm
from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from allauth.account.views import LoginView, LogoutView
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from registry.access import audit
from registry.models import AccessToken, User
from registry.web import throttle
from registry.web.page import address_of

WRONG = "Please enter a correct username and password. Note that both fields may be case-sensitive."


class AccountAdapter(DefaultAccountAdapter):
    """allauth's questions to the hub: nobody signs up, guessing is slowed down, service accounts never sign in."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        wait_s = throttle.take_try(address_of(request) or "", credentials.get("username", ""))
        if wait_s:
            request.retry_after_s = wait_s  # type: ignore[attr-defined]  # for the answer's header
            raise ValidationError(
                f"Too many failed attempts. Wait {throttle.WINDOW_S // 60} minutes and try again.", code="throttled"
            )

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        if user is not None:
            throttle.forget(address_of(request) or "", credentials.get("username", ""))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        throttle.note_failure(address_of(request) or "")

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """The last door before the second factor, whichever way somebody came."""
        if not user.is_active or user.is_service:
            return redirect("account_inactive")
        return None

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        audit.record(user, "sign in", user, None, {}, address_of(request))
        return response

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Only what people can't see for themselves: "successfully signed in" is not."""
        template = kwargs.get("message_template") or (args[2] if len(args) > 2 else "")
        if "logged_in" not in str(template) and "logged_out" not in str(template):
            super().add_message(*args, **kwargs)

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request) or "0.0.0.0"  # noqa: S104  # a client without an address: a socket of the machine

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("home")

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The hub sends no e-mail."""


class SignInForm(LoginForm):
    """allauth's, with the names that the hub's form always had."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        self.fields["login"].widget.attrs |= {"autofocus": True, "autocapitalize": "none", "maxlength": 150}
        self.fields["password"].help_text = ""

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix("username" if field_name == "login" else field_name)

    def clean(self) -> Any:
        """Unknown names, wrong passwords and closed accounts read the same."""
        try:
            return super().clean()
        except ValidationError as error:
            if getattr(error, "code", "") == "throttled":
                raise
            raise ValidationError(WRONG, code="invalid_login") from None


class ConfirmForm(ReauthenticateForm):
    """The password once more, before something that matters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].widget.attrs.pop("placeholder", None)
        self.fields["password"].widget.attrs["autofocus"] = True


class SignIn(LoginView):
    template_name = "account/login.html"
    form_class = SignInForm

    def get_form_class(self) -> type[SignInForm]:
        return SignInForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        no_admin = not User.objects.filter(is_superuser=True).exists()
        sign_on = settings.LLMHUB_OIDC_NAME if settings.SOCIALACCOUNT_PROVIDERS else ""
        return super().get_context_data(no_admin=no_admin, sign_on=sign_on, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.has_error("__all__", "throttled"):
            response.status_code = 429
            response["Retry-After"] = str(getattr(self.request, "retry_after_s", throttle.WINDOW_S))
        return response


class SignOut(LogoutView):
    http_method_names = ["post", "options"]  # Django's own attribute

    def post(self, *args: Any, **kwargs: Any) -> Any:
        """End the tokens that this person's open pages hold as well."""
        if self.request.user.is_authenticated:
            end_page_tokens(self.request.user)
        return super().post(*args, **kwargs)


def end_page_tokens(user: Any) -> None:
    """Revoke what open pages call the lane with; a page that is still signed in takes a new one."""
    for token in AccessToken.objects.filter(owner=user, session=True, revoked_at=None):
        token.revoke()


def sign_in(request: HttpRequest, user: User, *, to: str = "home") -> HttpResponse:
    """Sign in somebody who has just made their account, as by the form, and go on to the page named `to`."""
    response: HttpResponse = perform_login(request, Login(user=user, redirect_url=reverse(to)))
    return response
