"""Signing in and out, the first administrator, one's password and preferences."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from registry.access import setup_link
from registry.models import AccessToken, User, UserSettings
from registry.web import throttle
from registry.web.page import address_of, navigation, person, preferences_of, show, signed_in


class SignInForm(AuthenticationForm):
    """Django's form, which answers the same for an unknown name and a wrong password, and slows down guessing."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username") or "")
        address = (address_of(self.request) if self.request else None) or ""
        if throttle.is_blocked(address, name):
            raise ValidationError(
                f"Too many failed attempts. Wait {throttle.WINDOW_S // 60} minutes and try again.", code="throttled"
            )
        try:
            cleaned = super().clean()
        except ValidationError:
            throttle.note_failure(address, name)
            raise
        throttle.forget(address, name)
        return cleaned


class SignIn(LoginView):
    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        no_admin = not User.objects.filter(is_superuser=True).exists()
        return super().get_context_data(no_admin=no_admin, **kwargs)

    def form_invalid(self, form: Any) -> HttpResponse:
        response = super().form_invalid(form)
        response.status_code = 429 if form.has_error("__all__", "throttled") else 200
        return response


class SignOut(LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """End the tokens that this person's open pages hold as well."""
        if request.user.is_authenticated:
            for token in AccessToken.objects.filter(owner=person(request), session=True, revoked_at=None):
                token.revoke()
        return super().post(request, *args, **kwargs)


@method_decorator(signed_in, name="dispatch")
class ChangePassword(PasswordChangeView):
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("account")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(nav=navigation(self.request), **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)


class SetupForm(BaseUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email")


@never_cache
@sensitive_post_parameters()
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first administrator by the one-time link. Looking at the page does not use the link up."""
    if not setup_link.is_valid(token):
        return show(request, "accounts/setup.html", status=404)
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not setup_link.redeem(token):
            return show(request, "accounts/setup.html", status=404)
        form.instance.is_staff = form.instance.is_superuser = True
        user = form.save()
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        messages.success(request, f"Welcome, {user}. You administer this hub.")
        return redirect("home")
    return show(request, "accounts/setup.html", {"form": form})


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's forms take no argument at run time
    time_zone = forms.ChoiceField(help_text="Times on these pages are shown in it.")

    class Meta:
        model = UserSettings
        fields = ("time_zone",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, name.replace("_", " ")) for name in zones]


@signed_in
def account(request: HttpRequest) -> HttpResponse:
    preferences = preferences_of(request)
    form = PreferencesForm(request.POST or None, instance=preferences)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("account")
    return show(request, "accounts/account.html", {"form": form, "preferences": preferences})
