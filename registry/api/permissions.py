"""Who may use a route: every view declares it as `access`, and one that declares nothing is closed to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from registry.models import AccessToken

if TYPE_CHECKING:
    from rest_framework.views import APIView


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Scopes of which a token needs one, for reading and for writing; a session has them all.

    Which rows a caller meets is not decided here but by `visible_to` and `editable_by`.
    """

    read: tuple[str, ...]
    write: tuple[str, ...] = ("manage",)
    admins_only: bool = False
    admins_write: bool = False
    public: bool = False  # for the schema's pages alone


class DeclaredAccess(BasePermission):
    """Holds a request against its view's `access`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        access: Access | None = getattr(view, "access", None)
        if access is None:
            return False
        if access.public:
            return True
        user: Any = request.user
        if not user or not user.is_authenticated or not user.is_active:
            return False
        reading = request.method in SAFE_METHODS
        token: Any = request.auth
        _check_scope(token, access.read if reading else access.write)
        _check_role(user, access.read if reading else access.write)
        if (access.admins_only or (access.admins_write and not reading)) and not user.is_superuser:
            raise PermissionDenied("This is for administrators.")
        return True


def _check_role(user: Any, wanted: tuple[str, ...]) -> None:
    """A token is never worth more than its owner, and a session no more than a token with all scopes."""
    if not set(wanted) & user.scopes:
        raise PermissionDenied(f"The role {user.rank} does not allow this.", code="insufficient_role")


def _check_scope(token: AccessToken | None, wanted: tuple[str, ...]) -> None:
    if token is not None and not set(wanted) & set(token.present_scopes):
        raise PermissionDenied(
            f"The access token needs the scope {' or '.join(wanted)} for this.", code="insufficient_scope"
        )
