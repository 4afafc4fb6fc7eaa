"""`dbkit schema`: what would make the tables or collections, for those whose role may not."""

from __future__ import annotations

import json

from .options import Debug, Entities, Json, Url
from .output import emit
from .settings import Settings

__all__ = ["schema"]


def schema(url: Url = None, entities: Entities = None, as_json: Json = False, debug: Debug = False) -> None:
    """Print the statements that make an empty database's schema: SQL, or MongoDB's commands as a JSON list.

    The URL says for which store; its server is not asked.
    """
    del debug
    from .reaching import migration_store

    settings = Settings(url, entities)
    backend = settings.parsed_url.backend
    store, described = migration_store(settings.url, settings.entities)
    statements = store.ddl(described)
    answer = {"backend": backend, "language": store.language, "statements": statements}
    if store.language == "sql":
        lines = [f"{statement.rstrip().rstrip(';')};" for statement in statements]
    else:
        # As a migration's .mongodb.up.json holds them.
        lines = [
            json.dumps([json.loads(statement) for statement in statements], indent=2, ensure_ascii=False)
        ]
    emit(as_json, answer, lines)
