"""What pydantic finds wrong with given values, in words for those who never heard of pydantic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
"""Where a value is: keys of tables, and numbers of a list's items."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong at `path`, in words that never quote a value: it may be a secret.

    `is_unknown`: there is no such key, and `known` are those that exist in its table.
    """

    path: Path
    words: str
    is_unknown: bool = False
    known: tuple[str, ...] = ()


def checked(
    model: type[Model], values: Mapping[str, object]
) -> tuple[Model | None, tuple[Violation, ...]]:
    """`values` as a `model`, or every violation that keeps them from being one."""
    try:
        return model.model_validate(values), ()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    found: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(_place(values, detail), []).append(detail)
    return None, tuple(_violation(model, path, details) for path, details in found.items())


def _place(values: Mapping[str, object], detail: ErrorDetails) -> Path:
    """Where the value is: pydantic also names which of several types it tried there."""
    path, value = detail["loc"], values
    for depth, key in enumerate(path):
        found = _within(value, key)
        if found is None:
            return path if detail["type"] == "missing" else path[:depth]
        value = found[0]
    return path


def _within(value: Any, key: str | int) -> tuple[Any] | None:
    """What `value` has at `key`; None when it has nothing there."""
    if isinstance(value, Mapping):
        return (value[key],) if key in value else None
    is_item = isinstance(value, Sequence) and not isinstance(value, str) and isinstance(key, int)
    return (value[key],) if is_item and key < len(value) else None  # type: ignore[operator]


def _violation(model: type[BaseModel], path: Path, details: Sequence[ErrorDetails]) -> Violation:
    if details[0]["type"] == "extra_forbidden":
        return Violation(path, "unknown key", is_unknown=True, known=keys(model, path[:-1]))
    said = list(dict.fromkeys(_in_words(detail) for detail in details))
    must_be = "must be "
    if all(words.startswith(must_be) for words in said):
        return Violation(path, must_be + " or ".join(w.removeprefix(must_be) for w in said))
    return Violation(path, ", or ".join(said))


def _in_words(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"must be at least {_number(context['ge'])}"
        case "greater_than":
            return f"must be more than {_number(context['gt'])}"
        case "less_than_equal":
            return f"must be at most {_number(context['le'])}"
        case "less_than":
            return f"must be less than {_number(context['lt'])}"
        case "literal_error" | "enum":
            return f"must be {context['expected']}"
        case "too_short" if context["min_length"] == 1:
            return "must not be empty"
        case kind:
            return _KINDS.get(kind, detail["msg"])


def _number(limit: object) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a table"),
    "string_type": "must be text",
    "missing": "is missing",
}


def keys(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that the table at `path` of a `model` knows."""
    annotation: Any = model
    for key in path:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            annotation = _model(annotation).model_fields[str(key)].annotation
    return tuple(sorted(_model(annotation).model_fields))


def _model(annotation: Any) -> type[BaseModel]:
    """The model in `Model` or `Model | None`."""
    parts = (annotation, *get_args(annotation))
    return next(p for p in parts if isinstance(p, type) and issubclass(p, BaseModel))
