"""Downloads that resume, report progress and are checked before they count."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any, Optional

from ..errors import NetbuildError
from ..files import Progress, output_folder
from ..spelling import name_of
from .outside import MAX_BYTES, too_long

_CHUNK = 1 << 16
_TIMEOUT = 30
"""Seconds without a byte after which the server counts as gone."""
_PARTIAL, _NOTHING_MORE = 206, 416
"""What HTTP servers answer to a request for the rest of a file."""


def download(url: str, path: Path, progress: Progress, unpacked_sha256: Optional[str] = None) -> Path:
    """Fetch `url` to `path` and return it; an existing file that passes its check is kept.

    An earlier attempt (`path` + .part) is continued. `progress` is called with the bytes so far and
    in all (0: unknown). `unpacked_sha256` is compared with the hash of the content, gunzipped.
    """
    output_folder(path.parent)
    if path.exists():
        _require_hash(path, unpacked_sha256, "remove it")
        return path
    part = path.with_name(path.name + ".part")
    try:
        _fetch(url, part, progress)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NetbuildError(
            f"download of {url} failed ({reason}); run the command again to continue, or give a local copy with "
            f"{name_of('source', flag='from')}"
        ) from None
    try:
        _require_hash(part, unpacked_sha256, "it was removed: run the command again")
    except NetbuildError:
        part.unlink()
        raise
    return part.replace(path)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    response = _answer(url, part.stat().st_size if part.exists() else 0)
    if response is not None:
        with response:
            _receive(response, part, progress)


def _answer(url: str, have: int) -> Optional[Any]:
    """Ask for what follows the first `have` bytes; return the response, None where nothing follows them."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_MORE and have:
            return None
        raise


def _receive(response: Any, part: Path, progress: Progress) -> None:
    resumed = response.status == _PARTIAL
    have = part.stat().st_size if resumed else 0
    length = int(response.headers.get("Content-Length") or 0)
    total = have + length if length else 0
    with part.open("ab" if resumed else "wb") as file:
        for chunk in iter(lambda: response.read(_CHUNK), b""):
            file.write(chunk)
            have += len(chunk)
            if have > MAX_BYTES:
                part.unlink()
                raise too_long("download", part)
            progress(have, total)
    if have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _require_hash(path: Path, unpacked_sha256: Optional[str], remedy: str) -> None:
    if unpacked_sha256 is None:
        return
    actual = _unpacked_sha256(path)
    if actual != unpacked_sha256:
        raise NetbuildError(
            f"download {str(path)!r}: SHA-256 of its content is {actual}, expected {unpacked_sha256}; {remedy}, or "
            f"give a local copy with {name_of('source', flag='from')}"
        )


def _unpacked_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                digest.update(chunk)
                if file.tell() > MAX_BYTES:
                    return f"that of more than {MAX_BYTES >> 20} MiB"
    except (OSError, EOFError, zlib.error) as error:
        return f"a broken file, {error}"
    return digest.hexdigest()
