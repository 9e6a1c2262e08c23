"""Single sign-on: one OIDC issuer, by code flow with PKCE, state and nonce, through the hub's one way out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import requests
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, _build_apps_from_settings
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import Provider
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from adapters.errors import LLMError
from adapters.transport import Transport
from adapters.types import Timeouts, WireRequest
from registry.access import audit
from registry.catalog.endpoints import read_rules
from registry.models import User
from registry.web import invitations
from registry.web.page import address_of

log = logging.getLogger("llmhub.accounts")

_TIMEOUTS: Final = Timeouts(connect_s=5, first_byte_s=10, idle_s=10, total_s=20)
_MAX_ANSWER_BYTES: Final = 1024 * 1024
_SENT: Final = frozenset({"accept", "authorization", "content-type", "user-agent"})
# An issuer signs with a key pair; a shared secret as key, or none, would let others make tokens.
_SIGNED_BY: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"})


class OIDCAccounts(DefaultSocialAccountAdapter):
    """Who may come in by the issuer: who is connected or invited, or everybody where the setting says so."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        """From the settings alone: a row of the database would hold its secret in the clear."""
        found = _build_apps_from_settings(provider=provider, client_id=client_id)
        return [app for apps in found.values() for app in apps]

    def get_provider(self, request: HttpRequest, provider: Any, client_id: Any = None) -> Any:
        found = super().get_provider(request, provider, client_id)
        found.oauth2_adapter_class = IssuerAdapter
        # Not OAuth2's own, which takes scopes and parameters from whoever made the link.
        found.get_redirect_from_request_kwargs = partial(Provider.get_redirect_from_request_kwargs, found)
        return found

    def get_requests_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.max_redirects = 0
        for scheme in ("http://", "https://"):
            session.mount(scheme, OneWayOut())
        return session

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return bool(settings.LLMHUB_OIDC_SIGN_UP) or invitations.waiting(request) is not None

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: Mapping[str, Any]) -> Any:
        user = super().populate_user(request, sociallogin, data)
        user.is_staff = user.is_superuser = False
        # Addresses are for reading alone: nobody signs in by one, so nobody else's is taken over or asked for again.
        sociallogin.email_addresses = []
        if user.email and User.objects.filter(email__iexact=user.email).exists():
            user.email = ""
        return user

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """Make the account with what the invitation gives, or with the setting's role."""
        invitation = invitations.waiting(request)
        sociallogin.user.role = settings.LLMHUB_OIDC_ROLE
        user: User = super().save_user(request, sociallogin, form)
        if invitation is not None:
            invitations.redeem_for(request, invitation, user)
        audit.record(None, "create", user, None, audit.snapshot(user), address_of(request))
        return user

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:
        return False


class IssuerClient(OAuth2Client):
    """Adds the nonce, which is made from the state: both belong to this browser's session alone."""

    def get_redirect_url(self, authorization_url: str, scope: Any, extra_params: dict[str, Any]) -> str:
        return super().get_redirect_url(
            authorization_url, sorted(scope), {**extra_params, "nonce": nonce_of(self.state or "")}
        )


class IssuerAdapter(OpenIDConnectOAuth2Adapter):
    """Checks what allauth leaves to TLS: the signature of the ID token, its algorithm, nonce and party."""

    client_class = IssuerClient

    @property
    def openid_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        if str(config.get("issuer", "")).rstrip("/") != self.get_provider().app.settings["server_url"].rstrip("/"):
            raise OAuth2Error("the issuer calls itself by another name")
        return config

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("the issuer sent no ID token")
        login = super().complete_login(request, app, token, **kwargs)
        said = login.account.extra_data
        if said["userinfo"].get("sub") != said["id_token"].get("sub"):
            raise OAuth2Error("the ID token and the user's data are of two people")
        return login

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        import jwt

        try:
            algorithm = jwt.get_unverified_header(id_token).get("alg")
        except jwt.PyJWTError as error:
            raise OAuth2Error("the ID token can't be read") from error
        if algorithm not in _SIGNED_BY:
            raise OAuth2Error("the ID token is not signed by a key pair")
        try:
            claims: dict[str, Any] = jwtkit.verify_and_decode(
                credential=id_token,
                keys_url=self.openid_config["jwks_uri"],
                issuer=self.openid_config["issuer"],
                audience=app.client_id,
                lookup_kid=jwtkit.lookup_kid_jwk,
            )
        except KeyError as error:
            raise OAuth2Error("the ID token names no key") from error
        if claims.get("nonce") != nonce_of(self.request.GET.get("state", "")):
            raise OAuth2Error("the ID token was made for another sign-in")
        if claims.get("azp", app.client_id) != app.client_id or "exp" not in claims:
            raise OAuth2Error("the ID token was made for another client")
        return claims


def nonce_of(state: str) -> str:
    return hashlib.sha256(b"nonce:" + state.encode()).hexdigest()


def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Off to the issuer, by POST."""
    return _view(request, provider_id, OAuth2LoginView)


def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Back from the issuer."""
    return _view(request, provider_id, OAuth2CallbackView)


def _view(request: HttpRequest, provider_id: str, view: Any) -> HttpResponse:
    try:
        answer: HttpResponse = view.adapter_view(IssuerAdapter(request, provider_id))(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    except (OAuth2Error, requests.RequestException, KeyError, ValueError) as error:
        log.warning("The OIDC issuer can't be used: %s", error if isinstance(error, requests.RequestException) else
                    type(error).__name__)  # fmt: skip
        return render(request, "socialaccount/authentication_error.html", status=502)
    return answer


class OneWayOut(BaseAdapter):
    """What allauth calls the issuer with: `requests` in front, the hub's transport behind, so that its rules hold."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        policy = replace(read_rules().policy_for(None), https_only=True)
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        headers = {name: value for name, value in request.headers.items() if name.lower() in _SENT}
        transport = Transport(max_body_bytes=_MAX_ANSWER_BYTES)
        wire = WireRequest(method=request.method, url=request.url, headers=headers, body=body)

        async def call() -> Any:
            try:
                return await transport.send(wire, _TIMEOUTS, policy)
            finally:
                await transport.aclose()

        try:
            answer = transport.run_sync(call())
        except LLMError as error:
            raise requests.ConnectionError(error.message) from None
        response = requests.Response()
        response.status_code = answer.status
        response._content = answer.body
        response.headers = CaseInsensitiveDict(answer.headers)
        response.url, response.request = request.url, request
        response.encoding = "utf-8"
        return response

    def close(self) -> None:
        """Nothing is kept open."""
