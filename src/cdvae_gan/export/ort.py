"""Where a page gets onnxruntime-web from: npm's package, of one version, whose hash is known.

It is 14 MB and part of no wheel. npm fetches it when the first page is made, and it stays in the
cache; without npm or a network, the files can be given by hand.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from cdvae_gan.data.cache import cache_folder
from cdvae_gan.errors import InputError

__all__ = ["ORT_FILES", "ORT_VERSION", "ort_folder"]

ORT_VERSION = "1.30.0"
ORT_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What a page needs of it: one thread or several on a processor, with SIMD."""

_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_PACKAGE = f"onnxruntime-web@{ORT_VERSION}"
_BY_HAND = f"give --ort the unpacked folder of that package (npm pack {_PACKAGE})"


def ort_folder(given: Path | None = None) -> Path:
    """A folder that holds `ORT_FILES`.

    Args:
        given: The package's folder, unpacked by hand; None to take the cache's, which npm fills.

    Raises:
        InputError: Where the files are not in the given folder, or npm is missing or cannot fetch.
    """
    if given is not None:
        return _checked(given)
    folder = cache_folder() / "onnxruntime-web" / ORT_VERSION
    if not all((folder / name).is_file() for name in ORT_FILES):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _unpack(_fetched(Path(temporary)), Path(temporary, "files"))
            shutil.rmtree(folder, ignore_errors=True)
            Path(temporary, "files").rename(folder)
    return folder


def _checked(given: Path) -> Path:
    for folder in (given / "dist", given / "package" / "dist", given):
        if all((folder / name).is_file() for name in ORT_FILES):
            break
    else:
        raise InputError(f"{given} does not hold {', '.join(ORT_FILES)} of {_PACKAGE}")
    package = folder.parent / "package.json"
    if package.is_file():
        version = json.loads(package.read_text(encoding="utf-8")).get("version")
        if version != ORT_VERSION:
            raise InputError(f"{given} is onnxruntime-web {version}: the page needs {ORT_VERSION}")
    return folder


def _fetched(folder: Path) -> bytes:
    """The package's archive, as npm has it."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"a page needs {_PACKAGE}, which npm fetches: install npm, or {_BY_HAND}")
    words = [npm, "pack", _PACKAGE, "--silent", "--ignore-scripts"]
    called = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if called.returncode or not archives:
        said = [line for line in called.stderr.splitlines() if line.strip()]
        reason = said[0] if said else f"exit code {called.returncode}"
        raise InputError(f"npm cannot fetch {_PACKAGE} ({reason}): without a network, {_BY_HAND}")
    content = archives[0].read_bytes()
    if _digest(content) != _SHA512:
        raise InputError(f"what npm fetched is not {_PACKAGE}: its hash is another")
    return content


def _digest(content: bytes) -> str:
    """As npm writes it."""
    return base64.b64encode(hashlib.sha512(content).digest()).decode()


def _unpack(content: bytes, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in ORT_FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            (folder / name).write_bytes(member.read())
