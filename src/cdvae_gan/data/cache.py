"""The pixel cache: images decoded, cropped and resized once, then read as one memory-mapped array.

An entry is a folder ``<name>-<size>px-<key>`` with ``images.npy`` (N, size, size, 3),
``unreadable.json`` and ``pixels.sha256``. The key is a hash of the content, the size, the crop and
the version of this layout, so a changed data set is a new entry. An entry is built beside its final
place and renamed when it is whole: a build that is killed leaves nothing that could be taken for an
entry. A lock makes a second process wait for the first instead of decoding the same images again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing import connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cdvae_gan.errors import InputError

__all__ = ["CachedImages", "Unreadable", "cache_folder", "cached_images", "clear_cache", "digest"]

VERSION = "1"  # of the crop and the layout on disk: raise it when either changes
_CHUNK = 32
_HASHED = 1024  # images at a time

Read = Callable[[int, int], npt.NDArray[np.uint8]]
"""``read(index, size)``: image ``index``, uint8 ``(size, size, 3)``; InputError if unreadable."""


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be decoded: its index, its path, and why."""

    index: int
    file: str
    reason: str


_Done = tuple[int, list[Unreadable]]  # a chunk's number of images, and those that are bad


@dataclass(frozen=True)
class CachedImages:
    """The pixels of a data set; the rows of unreadable images are black."""

    pixels: npt.NDArray[np.uint8]
    unreadable: tuple[Unreadable, ...]
    content: str
    """A hash of the pixels: equal for equal images, wherever and whenever their files were made"""


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The cache: ``folder``, else ``$CDVAE_GAN_CACHE``, else ``cdvae-gan`` in the XDG cache."""
    given = folder or os.environ.get("CDVAE_GAN_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cdvae-gan"


def clear_cache(folder: str | os.PathLike[str] | None = None) -> int:
    """Remove every cached data set, finished or not.

    Returns:
        The number of bytes given back.
    """
    root = cache_folder(folder) / "images"
    if not root.exists():
        return 0
    freed = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    try:
        shutil.rmtree(root)
    except OSError as error:
        raise InputError(f"cannot clear the cache {root}: {error.strerror}") from error
    return freed


def digest(parts: Iterable[object]) -> str:
    """A hash of the parts' texts in their order, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part if isinstance(part, bytes) else str(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:16]


def cached_images(
    name: str,
    content: str,
    files: tuple[str, ...],
    read: Read,
    *,
    size: int,
    processes: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> CachedImages:
    """The images as one memory-mapped array, decoded now if they have not been before.

    Args:
        name: Data set name, for the entry's folder and the progress bar.
        content: What the images are: equal for equal content.
        files: Their names, for the list of unreadable ones.
        read: Decodes one image; called from several threads or processes.
        size: Side in pixels.
        processes: ``read`` holds the interpreter lock: use processes where they can be forked.
        cache_dir: See `cache_folder`.
        progress: Show a bar on stderr.

    Raises:
        InputError: No room or no permission in the cache folder.
    """
    key = digest((VERSION, content, size, len(files)))
    root = cache_folder(cache_dir) / "images"
    entry = root / f"{_slug(name)}-{size}px-{key}"
    found = _stored(entry, len(files))
    if found is None or _mended(found, read):
        with _said(root):
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{entry}.lock"):
                now = _stored(entry, len(files))
                if now is None or _mended(now, read):
                    shutil.rmtree(entry, ignore_errors=True)  # damaged, or to be mended
                    _build(entry, name, files, read, size, processes, progress)
        found = _stored(entry, len(files))
    if found is None:
        raise InputError(f"the cache entry {entry} cannot be read: remove it")
    return found


def _stored(entry: Path, n: int) -> CachedImages | None:
    """What an entry holds; None where there is none, or one that is damaged."""
    try:
        unreadable = json.loads((entry / "unreadable.json").read_text("utf-8"))
        bad = tuple(Unreadable(**row) for row in unreadable)
        pixels = np.load(entry / "images.npy", mmap_mode="r")
    except (OSError, ValueError, TypeError, EOFError):
        return None
    return CachedImages(pixels, bad, _hash(entry, pixels)) if len(pixels) == n else None


def _mended(found: CachedImages, read: Read) -> bool:
    """Whether an image can be read that could not be when the entry was made.

    It may have lacked permission, memory or a decoder, of which neither size nor date tells.
    """
    for row in found.unreadable:
        with suppress(InputError):
            read(row.index, found.pixels.shape[1])
            return True
    return False


def _hash(entry: Path, pixels: npt.NDArray[np.uint8]) -> str:
    """Of the pixels; taken once, which for a large data set is some seconds."""
    file = entry / "pixels.sha256"
    if file.is_file():
        return file.read_text("ascii")
    sha = hashlib.sha256(str(pixels.shape).encode())
    for start in range(0, len(pixels), _HASHED):
        sha.update(pixels[start : start + _HASHED].tobytes())
    content = sha.hexdigest()[:16]
    with suppress(OSError):  # a cache that cannot be written to may still be read
        partial = entry / f"pixels.{os.getpid()}.partial"
        partial.write_text(content, "ascii")
        partial.replace(file)
    return content


def _build(
    entry: Path,
    name: str,
    files: tuple[str, ...],
    read: Read,
    size: int,
    processes: bool,
    progress: bool,
) -> None:
    _sweep(entry.parent, sparing=entry)
    partial = entry.with_name(f"{entry.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed: the lock is ours
    partial.mkdir()
    try:
        pixels = _allocate(partial / "images.npy", (len(files), size, size, 3))
        unreadable = _fill(_Job(pixels, files, read), name, processes, progress)
        pixels.flush()
        del pixels
        (partial / "unreadable.json").write_text(
            json.dumps([asdict(row) for row in unreadable]), "utf-8"
        )
        partial.replace(entry)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sweep(root: Path, sparing: Path) -> None:
    """Remove what killed builds of other entries left, which nobody may ever build again."""
    for partial in root.glob("*.partial"):
        entry = partial.with_suffix("")
        if entry != sparing:
            with suppress(Timeout), FileLock(f"{entry}.lock", timeout=0):
                shutil.rmtree(partial, ignore_errors=True)


def _allocate(path: Path, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    pixels: np.memmap[tuple[int, ...], np.dtype[np.uint8]] = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=shape
    )
    # Writing through a map to a disk that is full kills the process; asking for the room first
    # raises an error.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return pixels


@dataclass(frozen=True)
class _Job:
    """Decoding a chunk of images straight into the map; called with the chunk's first index."""

    pixels: npt.NDArray[np.uint8]
    files: tuple[str, ...]
    read: Read

    def __call__(self, start: int) -> _Done:
        bad: list[Unreadable] = []
        stop = min(start + _CHUNK, len(self.files))
        for index in range(start, stop):
            try:
                self.pixels[index] = self.read(index, self.pixels.shape[1])
            except InputError as error:
                bad.append(Unreadable(index, self.files[index], str(error)))
        return stop - start, bad


def _fill(job: _Job, name: str, processes: bool, progress: bool) -> list[Unreadable]:
    workers, starts = _workers(), range(0, len(job.files), _CHUNK)
    forked = processes and workers > 1 and len(starts) > 8 and hasattr(os, "fork")
    unreadable: list[Unreadable] = []
    with _bar(name, len(job.files), progress) as advance:
        for count, bad in (_in_processes if forked else _in_threads)(job, starts, workers):
            unreadable.extend(bad)
            advance(count)
    return sorted(unreadable, key=lambda row: row.index)


def _in_threads(job: _Job, starts: Sequence[int], workers: int) -> Iterator[_Done]:
    """For decoders that let go of the interpreter lock, as Pillow's do; a few chunks ahead."""
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[_Done]] = set()
        try:
            for start in starts:
                pending.add(pool.submit(job, start))
                if len(pending) >= 4 * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            for future in as_completed(pending):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _in_processes(job: _Job, starts: Sequence[int], workers: int) -> Iterator[_Done]:
    """For decoders that hold it: forked, so that a script needs no guard around its main part."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    team = [
        context.Process(
            target=_work, args=(job, starts[i::workers], pipe[1], os.getpid()), daemon=True
        )
        for i, pipe in enumerate(pipes)
    ]
    try:
        for worker, pipe in zip(team, pipes, strict=True):
            worker.start()
            pipe[1].close()
        receivers = [pipe[0] for pipe in pipes]
        while receivers:
            for ready in connection.wait(receivers):
                assert isinstance(ready, connection.Connection)
                try:
                    yield ready.recv()
                except EOFError:
                    receivers.remove(ready)
        for worker in team:
            worker.join()
            if worker.exitcode:
                raise RuntimeError(f"a process that draws pictures ended with {worker.exitcode}")
    finally:
        for worker in team:
            if worker.is_alive():
                worker.terminate()


def _work(job: _Job, starts: Sequence[int], out: connection.Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    for start in starts:
        if os.getppid() != parent:  # it was killed
            return
        out.send(job(start))
    out.close()


@contextmanager
def _bar(name: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
    with bar:
        task = bar.add_task(f"preparing {name}", total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def _said(root: Path) -> Iterator[None]:
    """Troubles with the disk, said in one line with the way out."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            left = shutil.disk_usage(root).free / 1e9
            raise InputError(
                f"no room for decoded images in {root} ({left:.1f} GB left): "
                "set CDVAE_GAN_CACHE to another folder"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise InputError(
                f"cannot write to the cache {root} ({error.strerror}): "
                "set CDVAE_GAN_CACHE to a folder of yours"
            ) from error
        raise


def _workers() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40].strip("-") or "images"
