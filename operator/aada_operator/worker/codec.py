"""zstd inside age, streaming in both directions: ``age -d | zstd -d`` undoes by hand what is done here."""

import io
import shutil
from typing import IO, TypeAlias, cast

import pyrage
import zstandard
from pyrage import x25519

from aada_operator.adapters.sealed import Identity, refusal
from aada_operator.api.task import WRONG_KEY
from aada_operator.core.errors import Stalled
from aada_operator.worker.streams import Readable

_COPY_BYTES = 256 * 2**10
_THREADS = 2
# By default each thread buffers 8 MiB pieces several times over: 50 MiB that a worker of 128 MiB does not have.
_JOB_BYTES = 2**20
Recipient: TypeAlias = x25519.Recipient


def parse_recipients(texts: list[str]) -> "list[Recipient]":
    """age public keys.

    Raises:
        Stalled: WrongKey, a text is no key.
    """
    try:
        return [x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError:
        raise Stalled(WRONG_KEY, "a recipient is no age public key: correct encryption.recipients") from None


def pack(source: Readable, sink: IO[bytes], level: int, recipients: "list[Recipient]") -> None:
    """Compress and, for any recipients, encrypt; errors of ``source`` and ``sink`` may come wrapped."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, threads=_THREADS, job_size=_JOB_BYTES, write_checksum=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with compressor.stream_reader(cast("IO[bytes]", source), closefd=False) as compressed:
        if recipients:
            pyrage.encrypt_io(compressed, sink, recipients)
        else:
            shutil.copyfileobj(compressed, sink, _COPY_BYTES)


class Sealer:
    """Packs small pieces in memory, one after the other; each thread needs its own."""

    def __init__(self, level: int, recipients: "list[Recipient]") -> None:
        self._compressor = zstandard.ZstdCompressor(level, write_checksum=True)
        self._recipients = recipients

    def seal(self, data: "bytes | memoryview") -> bytes:
        """What `pack` writes for the same data, but in one frame of known size."""
        # In one go: a stream would copy everything into a window of its own before it compresses.
        compressed = self._compressor.compress(data)
        return pyrage.encrypt(compressed, self._recipients) if self._recipients else compressed


def unpack(source: Readable, sink: IO[bytes], identities: "list[Identity]") -> None:
    """Decrypt, given any identities, and decompress. An error of ``source`` may come as one of these.

    Raises:
        Stalled: WrongKey, no identity opens it; Corrupt, it is not what was written.
        BrokenPipeError: nobody reads the sink any more.
    """
    with zstandard.ZstdDecompressor().stream_writer(sink, closefd=False) as plain:
        try:
            if identities:
                pyrage.decrypt_io(source, plain, identities)
            else:
                shutil.copyfileobj(source, plain, _COPY_BYTES)
        except BrokenPipeError:
            raise
        except (pyrage.DecryptError, OSError, zstandard.ZstdError) as error:
            raise refusal(error) from None


def opens(header: bytes, identities: "list[Identity]") -> bool:
    """Whether an identity opens a file that begins with ``header``; its first 64 KiB are plenty."""
    try:
        pyrage.decrypt_io(io.BytesIO(header), io.BytesIO(), identities)
    except pyrage.DecryptError:
        return False
    except OSError:
        # The header was opened; the rest of the file is not here.
        return True
    return True
