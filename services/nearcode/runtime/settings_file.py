"""Settings of a program, from any tree of `Branch`es: defaults, then one TOML file, then the environment, then overrides.

With the prefix `NEARCODE_`, `NEARCODE_RETRIEVAL__LIMIT=5` in the environment is `limit = 5` below `[retrieval]` in the file
that `NEARCODE_CONFIG` names.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nearcode.domain.errors import InvalidRequest, Reason

S = TypeVar("S", bound=BaseModel)

_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML takes without quotes."""
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")


def load(
    kind: type[S],
    prefix: str,
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    others: Collection[str] = (),
) -> S:
    """Reads settings of a kind. `prefix` of its environment variables; `file`: instead of the one that `<prefix>CONFIG` names;
    `others`: beginnings of variables that have the prefix and are no settings. Raises InvalidRequest (INVALID_SETTING) naming
    the key, where it came from and what was probably meant."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    configured = f"{prefix}CONFIG"
    named = file or (Path(os.environ[configured]) if configured in os.environ else None)  # noqa: TID251
    if named:
        _merge(values, _read(named), sources, str(named))
    foreign = (configured, *others)
    for name, text in sorted(os.environ.items()):  # noqa: TID251 - the one place
        if name.startswith(prefix) and not name.startswith(foreign) and not _service_link(name):
            path = name.removeprefix(prefix).lower().split("__")
            _merge(values, _nested(path, text), sources, f"environment variable {name}")
    _merge(values, dict(overrides or {}), sources, "command line")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _explain(kind, error, sources) from error


def dump(settings: BaseModel, defaults: BaseModel | None = None) -> str:
    """The settings as TOML: all of them, or only what differs from `defaults`."""
    values = settings.model_dump(mode="json")
    if defaults:
        values = _difference(values, defaults.model_dump(mode="json"))
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict) and value is not None]
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _table(key, value)
    return "\n".join(lines) + "\n"


def _service_link(name: str) -> bool:
    """Whether Kubernetes made a variable for a Service beside this pod: one called nearcode-gateway gives its neighbors
    NEARCODE_GATEWAY_SERVICE_HOST. Settings of a branch have `__` in their names."""
    return "__" not in name and bool(_SERVICE_LINK.search(name))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"settings file {file} cannot be read: {error.strerror}", Reason.INVALID_SETTING) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"settings file {file} is not TOML: {error}", Reason.INVALID_SETTING) from error


def _nested(path: list[str], value: object) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)  # type: ignore[call-overload, no-any-return]


def _merge(into: dict[str, Any], values: Mapping[str, Any], sources: dict[str, str], source: str, path: str = "") -> None:
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        sources[where] = source
        if isinstance(value, Mapping) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, sources, source, where)
        else:
            into[key] = value


def _explain(kind: type[BaseModel], error: ValidationError, sources: Mapping[str, str]) -> InvalidRequest:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    where = next((sources[key[:end]] for end in range(len(key), 0, -1) if key[:end] in sources), "defaults")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys(kind, location[:-1]), n=1)
        hint = f"; did you mean {'.'.join([*location[:-1], near[0]])}?" if near else ""
        return InvalidRequest(f"unknown setting {key} in {where}{hint}", Reason.INVALID_SETTING, key)
    return InvalidRequest(f"setting {key} in {where}: {first['msg']}", Reason.INVALID_SETTING, key)


def _keys(kind: type[BaseModel], path: list[str]) -> list[str]:
    branch = kind
    for name in path:
        annotation = branch.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        branch = annotation
    return list(branch.model_fields)


def _difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    differing: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            if inner := _difference(value, defaults.get(key, {})):
                differing[key] = inner
        elif value != defaults.get(key):
            differing[key] = value
    return differing


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"]
    for key, value in values.items():
        if not isinstance(value, dict) and value is not None:
            lines.append(f"{_key(key)} = {_toml(value)}")
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _table(f"{name}.{_key(key)}", value)
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _toml(key)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = str(value)
    # TOML's basic strings escape as JSON does, DEL apart, which no setting holds.
    import json

    return json.dumps(text, ensure_ascii=False)
