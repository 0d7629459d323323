"""Gzip, read in time and memory bounded by what comes out of it."""

import io
import zlib

_CHUNK = 2**16
# Through a gzip file of this many bytes nothing need come out; beyond, at least half as much as goes in.
_IDLE = 2**16
# A gzip file may be made of several, and blocked gzip is, of 64 kB each with an empty one at the end.
_MEMBERS, _MEMBER = 64, 2**10


class GzipError(Exception):
    """Compressed data are truncated or corrupt, or hold much more than comes out."""


class Gunzip(io.RawIOBase):
    """The decompressed bytes of a gzip file.

    The module `gzip` walks through zeros behind the data, through a long name in the header and
    through empty members byte by byte, however many there are. Here compressed bytes that nothing
    comes out of are refused after 64 KiB, and members of less than 1 KiB after 64 of them.

    Args:
        raw: the file, at its beginning.

    Raises:
        GzipError: in reading.
    """

    def __init__(self, raw: io.BufferedIOBase):
        super().__init__()
        self._raw = raw
        self._inflate = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._taken = self._given = 0
        self._members = 1

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes; none at the end of the file."""
        view = memoryview(buffer).cast("B")
        data = self._some(len(view))
        view[: len(data)] = data
        return len(data)

    def _some(self, count: int) -> bytes:
        while count:
            if self._inflate.eof and not self._next_member():
                break
            if not self._waiting:
                self._waiting = self._raw.read(_CHUNK)
            before = len(self._waiting)
            try:
                data = self._inflate.decompress(self._waiting, min(count, _CHUNK))
            except zlib.error as error:
                raise GzipError(str(error)) from error
            # without further bytes there may be some that zlib has kept
            if not (before or data or self._inflate.eof):
                raise GzipError("it ends before its end-of-stream marker")
            self._waiting = self._inflate.unused_data or self._inflate.unconsumed_tail
            self._count(before - len(self._waiting), len(data))
            if data:
                return data
        return b""

    def _next_member(self) -> bool:
        """Go on to the gzip file that follows, past zeros; False where there is none."""
        while True:
            before = len(self._waiting)
            self._waiting = self._waiting.lstrip(b"\0")
            self._count(before - len(self._waiting), 0)
            if self._waiting:
                break
            self._waiting = self._raw.read(_CHUNK)
            if not self._waiting:
                return False
        self._members += 1
        if self._members > _MEMBERS + self._given // _MEMBER:
            raise GzipError(f"it is made of {self._members} gzip files with {self._given} bytes in them")
        self._inflate = zlib.decompressobj(wbits=31)
        return True

    def _count(self, taken: int, given: int) -> None:
        self._taken += taken
        self._given += given
        if self._taken > _IDLE + 2 * self._given:
            raise GzipError(f"from {self._taken} bytes only {self._given} come out")
