"""The worked example: authors and posts over any store.

Application code depends on the protocols; they are implemented once, on the generic store.
"""

from ._async.stores import AsyncBlog, AsyncPostStore, AsyncStatsStore, AsyncUserStore
from ._sync.stores import Blog, PostStore, StatsStore, UserStore
from .models import (
    ENTITIES,
    Post,
    PostLine,
    PostsPerDay,
    PostsPerMonth,
    Totals,
    User,
    UserPostCount,
    UserWithPosts,
)

__all__ = [
    "ENTITIES",
    "AsyncBlog",
    "AsyncPostStore",
    "AsyncStatsStore",
    "AsyncUserStore",
    "Blog",
    "Post",
    "PostLine",
    "PostStore",
    "PostsPerDay",
    "PostsPerMonth",
    "StatsStore",
    "Totals",
    "User",
    "UserPostCount",
    "UserStore",
    "UserWithPosts",
]
