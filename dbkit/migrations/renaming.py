"""A schema as it would be under its old names: what is there is compared with it once a rename is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..spec import EntitySpec, FieldSpec, IndexSpec, Reference, Schema, UniqueKey

__all__ = ["OldNames"]

_SHADOW = "__casefold"


class OldNames:
    """The schema under old names, and the way back to the declared descriptions.

    *collections* gives the old name of an entity by its stored one; *fields* the old name of a field by the pair of the
    entity's and its own.
    """

    def __init__(
        self, schema: Schema, collections: Mapping[str, str], fields: Mapping[tuple[str, str], str]
    ) -> None:
        self._made: dict[int, EntitySpec] = {}
        self._declared: dict[int, EntitySpec] = {}
        for entity in schema:
            made = self._renamed(entity, collections, fields)
            self._made[entity.token] = made
            self._declared[made.token] = entity
        self.schema = Schema(self._made.values())

    def declared(self, entity: EntitySpec) -> EntitySpec:
        """Return the entity as it is declared."""
        return self._declared[entity.token]

    def _renamed(
        self,
        entity: EntitySpec,
        collections: Mapping[str, str],
        fields: Mapping[tuple[str, str], str],
    ) -> EntitySpec:
        columns: dict[int, FieldSpec] = {}
        for f in entity.columns:
            owner = f if f.shadow_of is None else entity.by_name[f.shadow_of]
            old = fields.get((entity.stored, owner.stored))
            stored = f.stored if old is None else old if owner is f else old + _SHADOW
            columns[f.token] = FieldSpec(f.name, stored, f.type, self._reference(f), f.shadow_of)
        # Not by `replace`, which would keep the token.
        return EntitySpec(
            entity.name,
            collections.get(entity.stored, entity.stored),
            entity.model,
            tuple(columns[f.token] for f in entity.fields),
            tuple(columns[f.token] for f in entity.shadows),
            tuple(UniqueKey(tuple(columns[f.token] for f in k.fields), k.names) for k in entity.uniques),
            tuple(IndexSpec(tuple(columns[f.token] for f in i.fields)) for i in entity.indexes),
            versioned=entity.versioned,
            timestamped=entity.timestamped,
            stripes=entity.stripes,
            managed=entity.managed,
        )

    def _reference(self, field: FieldSpec) -> Reference | None:
        reference = field.reference
        if reference is None:
            return None
        return replace(reference, resolve=lambda: self._made[reference.target.token])
