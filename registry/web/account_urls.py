"""allauth's paths as far as the hub uses them, by the names that allauth looks up. The rest of it is not there."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as social
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, path
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

from registry.web.sign_in import SignIn, SignOut


def _own(view: Any) -> Any:
    """For a signed-in person, never cached: these pages hold secrets."""
    return never_cache(login_required(view))


# The same view by two names: the hub's own, and the one that allauth looks up.
urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/login/", SignIn.as_view(), name="login"),
    path("accounts/login/", SignIn.as_view(), name="account_login"),
    path("accounts/logout/", SignOut.as_view(), name="logout"),
    path("accounts/logout/", SignOut.as_view(), name="account_logout"),
    path("accounts/inactive/", account.account_inactive, name="account_inactive"),
    path("accounts/reauthenticate/", never_cache(account.reauthenticate), name="account_reauthenticate"),
    # Nobody signs up, and no address is confirmed: allauth links there all the same.
    path("accounts/signup/", RedirectView.as_view(pattern_name="login"), name="account_signup"),
    path("accounts/2fa/", never_cache(mfa.index), name="mfa_index"),
    path("accounts/2fa/authenticate/", mfa.authenticate, name="mfa_authenticate"),
    path("accounts/2fa/reauthenticate/", never_cache(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("accounts/2fa/totp/activate/", _own(totp.activate_totp), name="mfa_activate_totp"),
    path("accounts/2fa/totp/deactivate/", _own(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("accounts/2fa/recovery-codes/", _own(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "accounts/2fa/recovery-codes/generate/", _own(codes.generate_recovery_codes), name="mfa_generate_recovery_codes"
    ),
    path(
        "accounts/2fa/recovery-codes/download/", _own(codes.download_recovery_codes), name="mfa_download_recovery_codes"
    ),
    path("accounts/2fa/webauthn/", _own(webauthn.list_webauthn), name="mfa_list_webauthn"),
    path("accounts/2fa/webauthn/add/", _own(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path("accounts/2fa/webauthn/login/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path(
        "accounts/2fa/webauthn/reauthenticate/",
        _own(webauthn.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("accounts/2fa/webauthn/keys/<int:pk>/remove/", _own(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
    path("accounts/2fa/webauthn/keys/<int:pk>/edit/", _own(webauthn.edit_webauthn), name="mfa_edit_webauthn"),
]
if settings.LLMHUB_OIDC_ISSUER:
    from registry.web import oidc

    urlpatterns += [
        path("accounts/<str:provider_id>/login/", oidc.login, name="openid_connect_login"),
        path("accounts/<str:provider_id>/login/callback/", oidc.callback, name="openid_connect_callback"),
        path("accounts/sign-on/", _own(social.connections), name="socialaccount_connections"),
        path("accounts/sign-on/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
        path("accounts/sign-on/error/", social.login_error, name="socialaccount_login_error"),
    ]
