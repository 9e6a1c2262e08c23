"""Cursor paging for every list: `?limit=` rows, `next` and `previous` links."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class RowPagination(CursorPagination):
    """A page starts after a row, so that it neither skips nor repeats one while others are added."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    # Keys begin with the millisecond they were made in, and are unique: no two rows share a position.
    ordering: str | tuple[str, ...] = ("-id",)


class RecentFirst(RowPagination):
    ordering = ("-created_at", "-id")


class LatestFirst(RowPagination):
    """For the audit trail, whose time is `at`."""

    ordering = ("-at", "-id")


class ByName(RowPagination):
    ordering = ("name", "id")
