"""One's own account: password, preferences, sessions; and the first administrator."""

from __future__ import annotations

import zoneinfo
from typing import Any

from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from registry.access import setup_link
from registry.models import User, UserSettings
from registry.web.page import address_of, navigation, person, preferences_of, show, signed_in
from registry.web.second_factor import browser_name, end_sessions, has_one
from registry.web.sign_in import sign_in


@method_decorator(signed_in, name="dispatch")
class ChangePassword(PasswordChangeView):
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("account")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(nav=navigation(self.request), **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)


class SetupForm(BaseUserCreationForm):  # type: ignore[type-arg]  # generic to the stubs alone
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
        messages.success(request, f"Welcome, {user}. You administer this hub.")
        return sign_in(request, user, to="start")
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
    """Preferences, and the way to what guards the account."""
    user, preferences = person(request), preferences_of(request)
    form = PreferencesForm(request.POST or None, instance=preferences)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("account")
    context = {
        "form": form,
        "preferences": preferences,
        "has_second_factor": has_one(user),
        "session_count": UserSession.objects.filter(user=user).count(),
        "sign_on": settings.LLMHUB_OIDC_NAME if settings.SOCIALACCOUNT_PROVIDERS else "",
    }
    return show(request, "accounts/account.html", context)


@signed_in
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is signed in; each can be ended, and all others at once."""
    user = person(request)
    rows = sorted(UserSession.objects.purge_and_list(user), key=lambda row: row.created_at, reverse=True)
    here = request.session.session_key
    if request.method == "POST":
        wanted = request.POST.get("session", "")
        ending = [row for row in rows if row.session_key != here and wanted in ("others", str(row.pk))]
        end_sessions(ending, user, address_of(request))
        messages.success(request, f"{len(ending)} session{'' if len(ending) == 1 else 's'} ended.")
        return redirect("sessions")
    listed = [{"row": row, "here": row.session_key == here, "what": browser_name(row.user_agent)} for row in rows]
    return show(request, "accounts/sessions.html", {"sessions": listed})
