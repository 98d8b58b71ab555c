"""Downloads that resume, report progress and are checked before they count."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Callable, Optional

from ..errors import NetbuildError
from ..files import output_folder
from .outside import MAX_BYTES, too_long

_CHUNK = 1 << 16
_TIMEOUT = 30
"""Seconds without a byte after which the server counts as gone."""


def download(url: str, path: Path, progress: Callable[[int, int], None], unpacked_sha256: Optional[str] = None) -> Path:
    """Fetch `url` to `path` and return it; an existing file that passes its check is kept.

    What is there of an earlier attempt (`path` + .part) is continued. `progress` is called with the bytes so far and
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
            f"download of {url} failed ({reason}); run the command again to continue, or give a local copy with --from"
        ) from None
    try:
        _require_hash(part, unpacked_sha256, "it was removed: run the command again")
    except NetbuildError:
        part.unlink()
        raise
    return part.replace(path)


def _fetch(url: str, part: Path, progress: Callable[[int, int], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left beyond what we have
            return
        raise
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
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
    if total and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _require_hash(path: Path, unpacked_sha256: Optional[str], remedy: str) -> None:
    if unpacked_sha256 is None:
        return
    found = _unpacked_sha256(path)
    if found != unpacked_sha256:
        raise NetbuildError(
            f"download {str(path)!r}: SHA-256 of its content is {found}, expected {unpacked_sha256}; {remedy}, or give "
            "a local copy with --from"
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
