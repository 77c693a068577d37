"""Real data sets: pinned files, downloaded once and checked by SHA-256, or read from a folder of one's own.

    RECURBENCH_DATA     a folder with one folder per set; nothing is downloaded then. "name.gz" serves for "name"
    RECURBENCH_MIRROR   what replaces https://raw.githubusercontent.com in <mirror>/<repository>/<commit>/<path>

Downloads are kept in the user's cache folder (pooch.os_cache("recurbench")). No file may be larger than `MOST_BYTES`,
packed or not, so that neither a wrong server nor a packed file can fill a disk or the memory. The sets have their own
licences and are not part of this package.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GITHUB = "https://raw.githubusercontent.com"
MOST_BYTES = 64 << 20  # the largest pinned file has 14 MB
TIMEOUT_S = 30.0  # without a byte
CHUNK = 1 << 16


class DataError(ValueError):
    """A data file that is missing, unreachable or not the pinned one; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A set at one commit of its repository: ``files`` maps a file's path there to the SHA-256 of its bytes."""

    repository: str
    commit: str
    licence: str
    files: dict[str, str]


SOURCES = {
    "pos_danish_ud13": Source(
        "bplank/bilstm-aux",
        "2d35c0bfa737642827f548a897a5cdb51da87464",
        "CC BY-SA 4.0 (Universal Dependencies 1.3, Danish)",
        {
            "data/da-ud-train.conllu": "cf77dee0804fba3c48d02fcbf7b176fb902cc618f5070c2f07829ac84c16b601",
            "data/da-ud-dev.conllu": "7060031932b10f4f46000872fb271723de3114380571bcca389ee4dcaf7de5a7",
            "data/da-ud-test.conllu": "4bc3c095e82d769f1a8ca7b667ff7c9b8ecbd1d78d3f276d7464d0bcc914730e",
        },
    ),
    "ud_english_ewt": Source(
        "UniversalDependencies/UD_English-EWT",
        "15d613d8447b3478787d4c278730a1e48a945efb",
        "CC BY-SA 4.0",
        {
            "en_ewt-ud-train.conllu": "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            "en_ewt-ud-dev.conllu": "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            "en_ewt-ud-test.conllu": "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
        },
    ),
    "ud_english_atis": Source(
        "UniversalDependencies/UD_English-Atis",
        "d1b43fe134cae17f65147e69accdf57c521d8af8",
        "CC BY-SA 4.0",
        {
            "en_atis-ud-train.conllu": "bf34cac75bf90593720fb7e06fcecb4f3fbaf325e7a2ceefbcca10771f56ac72",
            "en_atis-ud-dev.conllu": "ba9ed59a6cf862c695043b64053194277023270ac46ad7b5182b90baee7cfee0",
            "en_atis-ud-test.conllu": "5d076b73ee57d30170f8e43434e14012f472d3af323b4f04d49a57d44c38b59a",
        },
    ),
    "multi30k_en_de": Source(
        "multi30k/dataset",
        "a3d2e0d26b56f3846f66a952536ffed4e401d05a",
        "captions of Flickr30k: non-commercial research and education; no formal licence",
        {
            "data/task1/raw/train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            "data/task1/raw/train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            "data/task1/raw/val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
            "data/task1/raw/val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            "data/task1/raw/test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
            "data/task1/raw/test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        },
    ),
    "charlm_tinyshakespeare": Source(
        "karpathy/char-rnn",
        "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
        "public domain (Shakespeare); the repository says MIT",
        {
            "data/tinyshakespeare/input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        },
    ),
}


def read(name: str, path: str) -> bytes:
    """The bytes of one file of a set, exactly as pinned. DataError if that cannot be."""
    source = SOURCES[name]
    folder = os.environ.get("RECURBENCH_DATA")
    if folder:
        return _from_folder(Path(folder) / name / Path(path).name, source.files[path])
    return _download(name, path, source)


def text(name: str, path: str) -> str:
    """One file of a set as text, unpacked if its pinned form is gzip."""
    data = read(name, path)
    try:
        return (_unpacked(data, path) if path.endswith(".gz") else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}/{path} is not UTF-8 text ({error}); copy it again") from error


def _from_folder(file: Path, sha256: str) -> bytes:
    packed = file.with_name(file.name + ".gz")
    if file.is_file():
        data = _small(file)
    elif packed.is_file():
        data = _unpacked(_small(packed), packed)
    else:
        raise DataError(f"{file} does not exist; put it there, or unset RECURBENCH_DATA to download it")
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise DataError(f"{file} has SHA-256 {got[:12]}..., the pinned file {sha256[:12]}...; copy it again")
    return data


def _small(file: Path) -> bytes:
    if file.stat().st_size > MOST_BYTES:
        raise DataError(f"{file} has {file.stat().st_size} bytes, no pinned file more than {MOST_BYTES}; copy it again")
    return file.read_bytes()


def _unpacked(data: bytes, where: str | Path) -> bytes:
    """What a gzip file holds, as long as that is not too much."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            out = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where} is not a whole gzip file ({error}); copy it again") from error
    if len(out) > MOST_BYTES:
        raise DataError(f"{where} unpacks to more than {MOST_BYTES} bytes; copy it again")
    return out


def _fetch(url: str, output_file: str, pooch: Any) -> None:
    """What pooch calls to download: no more than `MOST_BYTES`."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, Path(output_file).open("wb") as file:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            if file.tell() > MOST_BYTES:
                raise OSError(f"the server sends more than {MOST_BYTES} bytes")


def _download(name: str, path: str, source: Source) -> bytes:
    import pooch

    mirror = os.environ.get("RECURBENCH_MIRROR", GITHUB).rstrip("/")
    url = f"{mirror}/{source.repository}/{source.commit}/{path}"
    own = f"set RECURBENCH_DATA to a folder that holds {name}/{Path(path).name}"
    try:
        kept = pooch.os_cache("recurbench") / name
        file = pooch.retrieve(url, f"sha256:{source.files[path]}", Path(path).name, kept, downloader=_fetch)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url} cannot be downloaded ({error}); check the network, or {own}") from error
    except ValueError as error:  # pooch: not the known hash
        raise DataError(f"{url} is not the pinned file (its SHA-256 differs); try again, or {own}") from error
    return Path(file).read_bytes()
