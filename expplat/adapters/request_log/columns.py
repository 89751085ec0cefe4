"""What the columns of a Parquet log hold: which types are plain data, and how large values are."""

from __future__ import annotations

from typing import Any


def is_extension(field: Any) -> bool:
    """Tell whether a field, or one within it, is of a type that somebody else's code decodes."""
    import pyarrow

    if isinstance(field.type, pyarrow.JsonType):
        return False
    if isinstance(field.type, pyarrow.BaseExtensionType):
        return True
    if b"ARROW:extension:name" in (field.metadata or {}):
        return True
    return any(is_extension(child) for child in _children(field.type))


def type_read_as(kind: Any) -> Any:
    """Return the type that values are read as; None where JSON has nothing of the kind.

    Days and times become text. Decimals stay: what Arrow makes of 0.3 is not the number 0.3.
    """
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(kind):
        return type_read_as(kind.value_type)
    if _children(kind):
        return _nested(kind)
    if types.is_float16(kind):
        return pyarrow.float64()
    if types.is_large_string(kind) or types.is_decimal(kind):
        return kind
    if _is_written_as_text(kind):
        return pyarrow.string()
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return kind if is_number or types.is_null(kind) or types.is_struct(kind) else None


def _is_written_as_text(kind: Any) -> bool:
    import pyarrow
    from pyarrow import types

    is_text = types.is_string(kind) or types.is_string_view(kind)
    is_moment = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return bool(is_text or is_moment or isinstance(kind, pyarrow.JsonType))


def _nested(kind: Any) -> Any:
    import pyarrow
    from pyarrow import types

    inner = [type_read_as(child.type) for child in _children(kind)]
    if any(each is None for each in inner):
        return None
    if types.is_map(kind):
        return pyarrow.map_(*inner)
    if types.is_struct(kind):
        names = [child.name for child in _children(kind)]
        return pyarrow.struct(list(zip(names, inner, strict=True)))
    if types.is_large_list(kind):
        return pyarrow.large_list(*inner)
    is_list = types.is_list(kind) or types.is_fixed_size_list(kind)
    return pyarrow.list_(*inner) if is_list else None


def _children(kind: Any) -> list[Any]:
    import pyarrow
    from pyarrow import types

    if types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if types.is_dictionary(kind):
        return [pyarrow.field("value", kind.value_type)]
    return [kind.field(index) for index in range(kind.num_fields)]


def decoded_bytes(batch: Any) -> int:
    """Return what the rows of a batch take once each has its own copy of its texts."""
    return sum(_bytes_of(column) for column in batch.columns)


def _bytes_of(array: Any) -> int:
    from pyarrow import compute, types

    kind = array.type
    if types.is_dictionary(kind):
        lengths = compute.binary_length(array.dictionary).take(array.indices)
        return int(compute.sum(lengths, min_count=0).as_py()) + 4 * len(array)
    if types.is_struct(kind):
        return sum(_bytes_of(child) for child in array.flatten())
    if types.is_map(kind):
        start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
        inner = [array.keys.slice(start, end - start), array.items.slice(start, end - start)]
        return sum(map(_bytes_of, inner)) + 4 * len(array)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _bytes_of(compute.list_flatten(array)) + 4 * len(array)
    return int(array.nbytes)
