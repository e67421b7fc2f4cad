"""Tables of pandas, Polars and Arrow, as Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_TYPES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))


class TableCodec:
    """A table becomes Parquet (zstd) and comes back as the kind of table the receiver asks for."""

    name = "table"
    libraries = ("pandas", "polars", "pyarrow")
    distributions: tuple[str, ...] = ("pandas", "polars", "pyarrow")

    def matches(self, value: Any) -> bool:
        """Whether it is one of the three kinds of table."""
        return any(
            library in sys.modules and isinstance(value, getattr(sys.modules[library], name))
            for library, name in _TYPES
        )

    def encode(self, value: Any, path: Path) -> None:
        """Parquet with zstd; pandas' index is kept in the schema's metadata."""
        from pyarrow import parquet

        parquet.write_table(_to_arrow(value), path, compression="zstd")

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """A pandas or Polars DataFrame, or an Arrow table: what `wanted` says."""
        from pyarrow import parquet

        if wanted.startswith("polars."):
            import polars

            return polars.from_arrow(parquet.read_table(path))
        table = parquet.read_table(path, memory_map=True)
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


def _to_arrow(value: Any) -> Any:
    import pyarrow

    if isinstance(value, pyarrow.Table):
        return value
    if type(value).__module__.startswith("polars"):
        return value.to_arrow()
    return pyarrow.Table.from_pandas(value)
