"""Tables of pandas, Polars and Arrow, as Parquet."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.codecs.unstorable import Unstorable

_CATEGORIES, _ORDERED = b"mlwright.categories", b"ordered"
_TYPES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("polars", "LazyFrame"), ("pyarrow", "Table"))


class TableCodec:
    """A table becomes Parquet (zstd) and comes back as the kind of table the receiver asks for."""

    name = "table"
    libraries = ("pandas", "polars", "pyarrow")
    distributions: tuple[str, ...] = ("pandas", "polars", "pyarrow")
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is one of the three kinds of table, or the plan of one."""
        return any(
            library in sys.modules and isinstance(value, getattr(sys.modules[library], name, ()))
            for library, name in _TYPES
        )

    def encode(self, value: Any, path: Path) -> None:
        """Parquet with zstd; pandas' index, and the categories Parquet would lose, are in the metadata.

        Raises:
            Unstorable: a column of what Arrow has no type for.
            Invalid: a LazyFrame, which is no table yet.
        """
        from pyarrow import parquet

        parquet.write_table(_set_categories_aside(_to_arrow(value)), path, compression="zstd")

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """A pandas or Polars DataFrame, or an Arrow table: what `wanted` says."""
        from pyarrow import parquet

        if wanted.startswith("polars."):
            import polars

            frame = polars.from_arrow(_put_categories_back(parquet.read_table(path)))
            return frame.lazy() if wanted == "polars.LazyFrame" else frame
        table = _put_categories_back(parquet.read_table(path, memory_map=True))
        return table if wanted.startswith("pyarrow.") else table.to_pandas()

    def describe(self, value: Any) -> dict[str, Any]:
        """Rows, and each column's name and type in Arrow's words."""
        schema = _to_arrow(value[:1] if not hasattr(value, "iloc") else value.iloc[:1]).schema
        columns = [
            {"name": field.name, "type": str(field.type)}
            for field in schema
            if not field.name.startswith("__index_level_")
        ]
        return {"rows": len(value), "columns": columns}


def _set_categories_aside(table: Any) -> Any:
    """Columns of categories that are not text, or hold none, become their codes; Parquet keeps only values.

    Raises:
        Unstorable: categories that Arrow cannot give back to pandas (intervals).
    """
    import pyarrow as pa

    table = table.unify_dictionaries()
    categories, fields = [], []
    for at, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type) or _has_text(table.column(at)):
            continue
        kind = field.type.value_type
        if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
            raise Unstorable(
                f"column `{field.name}` has categories of type {kind}, which cannot be stored",
                hint="make them text: name the labels, or .astype(str).astype('category')",
            )
        chunks = table.column(at).chunks or [pa.array([], field.type)]
        kept = pa.ListArray.from_arrays([0, len(chunks[0].dictionary)], chunks[0].dictionary)
        categories.append(kept)
        fields.append(pa.field(str(at), kept.type, metadata={_ORDERED: str(field.type.ordered)}))
        codes = pa.chunked_array([chunk.indices for chunk in chunks])
        table = table.set_column(at, field.with_type(codes.type), codes)
    if not fields:
        return table
    aside = pa.BufferOutputStream()
    schema = pa.schema(fields)
    with pa.ipc.new_stream(aside, schema) as stream:
        stream.write_batch(pa.record_batch(categories, schema=schema))
    kept = base64.b64encode(aside.getvalue().to_pybytes())
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _CATEGORIES: kept})


def _put_categories_back(table: Any) -> Any:
    import pyarrow as pa

    metadata = dict(table.schema.metadata or {})
    if _CATEGORIES not in metadata:
        return table
    aside = pa.ipc.open_stream(base64.b64decode(metadata.pop(_CATEGORIES))).read_all()
    for field, column in zip(aside.schema, aside.columns, strict=True):
        at, ordered = int(field.name), field.metadata[_ORDERED] == b"True"
        categories, codes = column.chunk(0).values, table.column(at)
        kind = pa.dictionary(codes.type, categories.type, ordered=ordered)
        chunks = [pa.DictionaryArray.from_arrays(each, categories, ordered=ordered) for each in codes.chunks]
        table = table.set_column(at, table.schema.field(at).with_type(kind), pa.chunked_array(chunks, kind))
    return table.replace_schema_metadata(metadata)


def _has_text(column: Any) -> bool:
    from pyarrow import types

    kind = column.type.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind)) and column.null_count < len(column)


def _to_arrow(value: Any) -> Any:
    import pyarrow

    if type(value).__name__ == "LazyFrame":
        raise Invalid(
            "a polars.LazyFrame is the plan of a table, and not yet a table",
            hint="return frame.collect()",
        )
    if isinstance(value, pyarrow.Table):
        return value
    try:
        if type(value).__module__.startswith("polars"):
            return value.to_arrow()
        return pyarrow.Table.from_pandas(value)
    except (ValueError, TypeError, NotImplementedError) as error:  # what pyarrow raises is of these
        told = ": ".join(str(each) for each in error.args)
        raise Unstorable(
            f"this table has a column that Arrow cannot hold: {told}",
            hint="give its elements one type, as with .astype(str)",
        ) from error
