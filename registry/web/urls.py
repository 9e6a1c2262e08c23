"""The pages' paths: home, playground, conversations, compare, models, keys, tokens, usage, accounts."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from registry.web import (
    accounts,
    conversations,
    home,
    key_models,
    key_tests,
    keys,
    model_detail,
    model_pages,
    playground,
    tokens,
    usage_pages,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("playground/", playground.playground, name="playground"),
    path("playground/token/", playground.token, name="playground_token"),
    path("playground/conversations/", playground.create_conversation, name="playground_conversations"),
    path("playground/conversations/<uuid:pk>/", playground.change_conversation, name="playground_conversation"),
    path("playground/conversations/<uuid:pk>/drop/", playground.drop_turns, name="playground_drop"),
    path("conversations/", conversations.conversations, name="conversations"),
    path("conversations/<uuid:pk>/rename/", conversations.rename, name="conversation_rename"),
    path("conversations/<uuid:pk>/export/", conversations.export, name="conversation_export"),
    path("conversations/<uuid:pk>/delete/", conversations.delete, name="conversation_delete"),
    path("compare/", playground.compare, name="compare"),
    path("models/", model_pages.models, name="models"),
    path("models/options/", model_pages.options, name="model_options"),
    path("models/<uuid:pk>/", model_detail.model, name="model"),
    path("models/<uuid:pk>/default/", model_pages.make_default, name="model_default"),
    path("keys/", keys.keys, name="keys"),
    path("keys/add/", keys.add, name="key_add"),
    path("keys/<uuid:pk>/added/", keys.added, name="key_added"),
    path("keys/<uuid:pk>/models/", key_models.look, name="key_models"),
    path("keys/<uuid:pk>/models/add/", key_models.apply, name="key_models_add"),
    path("keys/<uuid:pk>/test/", key_tests.test, name="key_test"),
    path("keys/<uuid:pk>/replace/", keys.replace, name="key_replace"),
    path("keys/<uuid:pk>/toggle/", keys.toggle, name="key_toggle"),
    path("keys/<uuid:pk>/delete/", keys.delete, name="key_delete"),
    path("keys/providers/<uuid:pk>/added/", keys.provider_added, name="provider_added"),
    path("keys/providers/<uuid:pk>/test/", key_tests.test_provider, name="provider_test"),
    path("keys/providers/<uuid:pk>/delete/", keys.delete_provider, name="provider_delete"),
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/<uuid:pk>/revoke/", tokens.revoke, name="token_revoke"),
    path("usage/", usage_pages.usage, name="usage"),
    path("usage/export/", usage_pages.export, name="usage_export"),
    path("accounts/", accounts.account, name="account"),
    path("accounts/login/", accounts.SignIn.as_view(), name="login"),
    path("accounts/logout/", accounts.SignOut.as_view(), name="logout"),
    path("accounts/password/", accounts.ChangePassword.as_view(), name="password_change"),
    path("setup/<str:token>/", accounts.setup, name="setup"),
]
