"""The statements that raw and floor run, written by hand as well as they can be."""

from __future__ import annotations

__all__ = ["BATCH", "POST", "USER", "statements"]

USER = "id, created_at, updated_at, username, email, bio"
POST = "id, created_at, updated_at, user_id, title, body"
BATCH = 1000
"""How many rows `iterate` reads at a time, as dbkit does."""
_COLUMNS = f"{USER}, email__casefold"

_LATEST_OF_EACH = {
    # An IN over a correlated subquery is read once for each id, and stops at the limit.
    "sqlite": f"""
        WITH parents(id) AS (VALUES {", ".join(["(?)"] * 20)})
        SELECT {", ".join("p." + c for c in POST.split(", "))} FROM parents JOIN posts p ON p.id IN (
            SELECT c.id FROM posts c WHERE c.user_id = parents.id ORDER BY c.created_at DESC, c.id DESC LIMIT 3)
        ORDER BY p.created_at DESC, p.id DESC""",
    "postgresql": f"""
        SELECT c.* FROM unnest(%s::uuid[]) AS parents(id) JOIN LATERAL (
            SELECT {POST} FROM posts WHERE user_id = parents.id ORDER BY created_at DESC, id DESC LIMIT 3) c ON true
        ORDER BY c.created_at DESC, c.id DESC""",
}


def statements(dialect: str) -> dict[str, str]:
    """Return the statements of a dialect, by the verb."""
    mark = {"sqlite": "?", "postgresql": "%s"}[dialect]
    values = ", ".join([mark] * 7)
    return {
        "get": f"SELECT {USER} FROM users WHERE id = {mark}",
        "by_email": f"SELECT {USER} FROM users WHERE email__casefold = {mark}",
        "page": f"SELECT {USER} FROM users ORDER BY username LIMIT 51",
        "deep_page": f"SELECT {USER} FROM users WHERE username > {mark} ORDER BY username LIMIT 51",
        "posts": f"SELECT {POST} FROM posts WHERE user_id = {mark} ORDER BY created_at DESC, id DESC LIMIT 101",
        "create": f"INSERT INTO users ({_COLUMNS}) VALUES ({values})",
        "totals": "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM posts) AS posts",
        "most": (
            # Grouped first: ten users are looked up, and not one for each post.
            "SELECT g.user_id, u.username, g.post_count FROM (SELECT user_id, count(*) AS post_count FROM posts "
            "GROUP BY user_id ORDER BY post_count DESC, user_id LIMIT 10) g JOIN users u ON u.id = g.user_id "
            "ORDER BY g.post_count DESC, g.user_id"
        ),
        "update": f"UPDATE users SET bio = {mark}, updated_at = {mark} WHERE id = {mark} RETURNING {USER}",
        "parents": f"SELECT {USER} FROM users ORDER BY username LIMIT 20",
        "children": _LATEST_OF_EACH[dialect],
        "upsert": (
            f"INSERT INTO users ({_COLUMNS}) VALUES ({values}) ON CONFLICT (email__casefold) "
            + ("WHERE 1 = 1 " if dialect == "postgresql" else "")
            + "DO UPDATE SET updated_at = excluded.updated_at, username = excluded.username, email = excluded.email, "
            f"bio = excluded.bio RETURNING {USER}"
        ),
        "first": f"SELECT {POST} FROM posts ORDER BY id LIMIT {BATCH}",
        "next": f"SELECT {POST} FROM posts WHERE id > {mark} ORDER BY id LIMIT {BATCH}",
    }
