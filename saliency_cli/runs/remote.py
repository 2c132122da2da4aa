"""Inputs that lie elsewhere, `s3://…`, `gs://…`, `https://…`, read through fsspec (the `cloud` extra).

Nothing is fetched but what the user names. What is told or recorded of an address is never its credentials: the part
before an `@`, and all that follows a `?`.
"""

import posixpath
import re
import time
from typing import Any

from saliency_cli.errors import InputError, UsageError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SOMEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"]+")
_WEB = ("http", "https")
_PAUSES = (0.5, 2.0)
"""Seconds before each further try of what may pass: a connection lost, a server that is busy."""
_BUSY = (408, 429, 500, 502, 503, 504)
_CLOUD = "'saliency-cli[cloud]'"
_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "http": _CLOUD, "https": _CLOUD,
}  # fmt: skip


def is_remote(path: str) -> bool:
    """Whether a text is an address, `scheme://…`, and no path of this machine."""
    return _ADDRESS.match(path) is not None


def shown(address: str) -> str:
    """Return an address as it is told and recorded: without credentials, `..` and doubled slashes."""
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    rest = rest.partition("?")[0]
    if scheme in _WEB:
        rest = rest.partition("#")[0]
    host, _, path = rest.partition("/")
    host = host.rpartition("@")[2]
    places = [host if host.strip(".") else "", posixpath.normpath(f"/{path}").lstrip("/")]
    return f"{scheme}://{'/' if scheme == 'file' else ''}{'/'.join(place for place in places if place)}"


def without_credentials(text: str) -> str:
    """Return a text in which every address is as `shown` gives it."""
    return _SOMEWHERE.sub(lambda found: shown(found[0]), text)


def is_pattern(address: str) -> bool:
    """Whether an address stands for those that match it. A `?` begins what no address is told by."""
    return any(sign in address for sign in "*[")


def expanded(address: str) -> list[str]:
    """Return the addresses of files that one stands for: a folder's, a pattern's, or itself.

    Raises:
        UsageError: fsspec, or what it needs for the scheme, isn't installed.
        InputError: a folder or pattern of the web, or nothing is there.
    """
    system, path = _opened(address)
    web = address.partition("://")[0].lower() in _WEB
    if web:
        if address.endswith("/"):
            raise InputError(
                f"'{shown(address)}/' is a folder of the web, and those can't be listed",
                hint="--files-from with a line for each address",
                reason="not-a-file",
            )
        return [address]
    try:
        if system.isfile(path):
            return [address]
        if system.isdir(path):
            return [system.unstrip_protocol(name) for name in system.find(path) if _is_plain(name, path)]
        if is_pattern(path):
            fixed = re.split(r"[*\[]", path, maxsplit=1)[0].rpartition("/")[0]
            found = (name for name in system.glob(path) if _is_plain(name, fixed) and not system.isdir(name))
            return [system.unstrip_protocol(name) for name in found]
    except Exception as error:  # noqa: BLE001 - every library has its own kinds
        raise _unreadable(address, error) from None
    return [address]


def _is_plain(name: str, folder: str) -> bool:
    inside = name[len(folder.rstrip("/")) :].strip("/")
    return not any(part.startswith(".") for part in inside.split("/"))


def fetch(address: str) -> bytes:
    """Return the bytes at an address; what may pass is tried three times. Raises `InputError`, `UsageError`."""
    system, path = _opened(address)
    for pause in (*_PAUSES, None):
        try:
            return bytes(system.cat_file(path))
        except Exception as error:  # noqa: BLE001 - every library has its own kinds
            if pause is None or not _passing(error):
                raise _unreadable(address, error) from None
        time.sleep(pause)
    raise AssertionError


def _opened(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path there."""
    scheme = address.partition("://")[0].lower()
    if "::" in address or not address.isprintable():
        raise InputError(
            f"'{shown(address)}' is no plain address",
            hint="one scheme://place/file, nothing chained",
            reason="bad-address",
        )
    try:
        import fsspec
    except ImportError:
        raise UsageError(
            f"'{shown(address)}' is an address, and reading those takes fsspec, which is not installed",
            hint=f"pip install {_CLOUD}",
            reason="missing-package",
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError:
        raise UsageError(
            f"'{shown(address)}' can't be read: what fsspec needs for {scheme}:// is not installed",
            hint=f"pip install {_PACKAGES.get(scheme, scheme + 'fs')}",
            reason="missing-package",
        ) from None
    except ValueError:
        raise InputError(
            f"'{shown(address)}': no file system is known for {scheme}://",
            hint="s3://, gs://, az://, https://, and others that fsspec knows",
            reason="bad-address",
        ) from None
    except Exception as error:  # noqa: BLE001 - every library has its own kinds
        raise _unreadable(address, error) from None
    return system, str(path)


def _passing(error: Exception) -> bool:
    """Whether an error may be gone the next time."""
    return isinstance(error, (ConnectionError, TimeoutError)) or getattr(error, "status", None) in _BUSY


def _unreadable(address: str, error: Exception) -> InputError:
    """Return what is told of an error, whose own words may hold the whole address."""
    name, status = shown(address), getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return InputError(f"there is no '{name}'", hint="is the address right?", reason="missing-file")
    if isinstance(error, IsADirectoryError):
        return InputError(f"'{name}' is a folder, and a file was expected", hint=f"{name}/", reason="not-a-file")
    if isinstance(error, PermissionError) or status in (401, 403) or "Credential" in type(error).__name__:
        hint = "credentials come from where the store's own tools read them: environment, profile, login"
        return InputError(f"'{name}' may not be read: no permission", hint=hint, reason="no-permission")
    told = f"{type(error).__name__}{f' {status}' if status else ''}"
    return InputError(
        f"'{name}' can't be read: {told}", hint="is the place reachable from here?", reason="unreadable"
    )
