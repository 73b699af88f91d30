"""Values of a record checked against the types of its fields: what a configuration is made of."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from agegenderemo.errors import AgeGenderEmoError

T = TypeVar("T")


def set_value(values: dict[str, Any], kind: Any, name: str, value: Any) -> None:
    """Put a value where a dotted name says, into a record of this kind as a dict."""
    own, rest = kind, name
    while True:
        if not is_dataclass(own):  # a mapping: whatever is left is a key, dots and all
            if get_origin(own) is not dict:
                raise unknown(name, kind)
            values[rest] = value
            return
        first, dot, rest = rest.partition(".")
        known = hints(cast(type, own))
        if first not in known:
            raise unknown(name, kind)
        if not dot:
            values[first] = value
            return
        inner: Any = values[first]
        own, values = known[first], inner
        if not isinstance(inner, dict) and (is_dataclass(own) or get_origin(own) is dict):
            # An earlier setting put something else there.
            raise _unfit(name.removesuffix(f".{rest}"), word_of(dict), values)


def unknown(name: str, kind: type) -> AgeGenderEmoError:
    """What to raise for a name that a record does not know."""
    return AgeGenderEmoError(f"Unknown setting {name!r}; known are {', '.join(names_of(kind))}.")


def names_of(kind: type, before: str = "") -> list[str]:
    """Every name that a record knows, parts with a dot."""
    names = []
    for name, hint in hints(kind).items():
        if is_dataclass(hint):
            names += names_of(cast(type, hint), f"{before}{name}.")
        else:
            names.append(f"{before}{name}" + ".NAME" * (get_origin(hint) is dict))
    return names


def hints(kind: type) -> dict[str, Any]:
    """The types of a record's fields, in their order: they are what values are checked against."""
    found = typing.get_type_hints(kind)
    return {own.name: found[own.name] for own in fields(kind)}


def built(name: str, kind: type[T], values: Any) -> T:
    """A record from a mapping of its fields, or a list of all of them."""
    known = hints(kind)
    if isinstance(values, list | tuple) and len(values) == len(known):
        values = dict(zip(known, values, strict=True))
    if not isinstance(values, Mapping):
        raise AgeGenderEmoError(
            f"{name} must be a mapping of {', '.join(known)}, or a list of them, not {values!r}."
        )
    before = f"{name}." if name else ""
    for key in values:
        if key not in known:
            listed = ", ".join(f"{before}{own}" for own in known)
            raise AgeGenderEmoError(f"Unknown setting {f'{before}{key}'!r}; known are {listed}.")
    return kind(**{k: fitted(f"{before}{k}", known[k], value) for k, value in values.items()})


def fitted(name: str, hint: Any, value: Any) -> Any:
    """A value of the type that a hint names, whole numbers as floats where those are wanted.

    Raises AgeGenderEmoError for another.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint):
        kind = cast(type, hint)
        if isinstance(value, kind):
            value = {own: getattr(value, own) for own in hints(kind)}
        return built(name, kind, value)
    if origin is Literal:
        if value not in arguments:
            choices = ", ".join(map(str, arguments))
            raise AgeGenderEmoError(f"{name} must be one of {choices}, not {value!r}.")
        return value
    if origin is types.UnionType:
        kinds = tuple(get_origin(one) or one for one in arguments)
        if isinstance(value, kinds):
            return value
        raise _unfit(name, " or ".join(map(word_of, kinds)), value)
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _unfit(name, word_of(dict), value)
        return {key: fitted(f"{name}.{key}", arguments[1], own) for key, own in value.items()}
    if origin is tuple:
        return _fitted_tuple(name, arguments, value)
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise _unfit(name, word_of(hint), value) from error
    if type(value) is not hint:
        raise _unfit(name, word_of(hint), value)
    return value


def _fitted_tuple(name: str, arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    kinds: Sequence[Any] = arguments
    if arguments[-1] is Ellipsis:
        kinds = arguments[:1] * len(value) if isinstance(value, list | tuple) else ()
    if not isinstance(value, list | tuple) or len(value) != len(kinds) or not kinds:
        wanted = "a list, and not empty" if arguments[-1] is Ellipsis else f"a list of {len(kinds)}"
        raise _unfit(name, wanted, value)
    return tuple(fitted(name, kind, own) for kind, own in zip(kinds, value, strict=True))


def word_of(kind: type) -> str:
    """What people call values of a type."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(kind, "a mapping from names")


def _unfit(name: str, kind: str, value: Any) -> AgeGenderEmoError:
    return AgeGenderEmoError(f"{name} must be {kind}, not {value!r}.")
