"""The stage `record`: what a provider sent, byte by byte, in a file an attempt (`docs/recording.md`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rxlapce.off_loop import off_loop
from rxlapce.operators.record import DEFAULT_MAX_BYTES, SecretScrubber, record
from rxlapce.pipeline.copies.folder import RecordingFolder
from rxlapce.providers.inlet import BytesOperator
from rxlapce.registry import Kind, Scope, Shape, check_ranges, option, required
from rxlapce.routing.way import MakeBytes, Setup, Site

SUFFIX: Final = ".rec"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBytesOptions:
    """Where bytes are recorded, and how many recordings stay."""

    folder: str = required(help="where the files are; made if it is not there; ~ is your own folder")
    max_bytes: int = option(
        DEFAULT_MAX_BYTES, help="the recording of a larger answer ends there", unit="bytes", at_least=1
    )
    keep_files: int = option(1000, help="of more recordings the oldest are removed", unit="files", at_least=1)
    keep_bytes: int = option(2**30, help="of a larger folder the oldest are removed", unit="bytes", at_least=1)

    def __post_init__(self) -> None:
        check_ranges(self)


def _record(options: RecordBytesOptions, setup: Setup) -> MakeBytes:
    folder = RecordingFolder(
        path=Path(options.folder).expanduser(),
        suffix=SUFFIX,
        keep_files=options.keep_files,
        keep_bytes=options.keep_bytes,
    )

    def make(site: Site) -> BytesOperator:
        counts, exchange, traffic = site.traffic.copied_by(setup.pipeline, "record"), site.exchange, site.traffic

        def on_trouble(error: Exception) -> None:
            counts.failed += 1
            traffic.trouble(setup.pipeline, "record", exchange.request_id, error)

        async def tidy() -> None:
            try:
                await off_loop(folder.tidy, "tidy recordings")
            except OSError as error:
                traffic.trouble(setup.pipeline, "record", exchange.request_id, error)

        counts.streams += 1
        try:
            folder.make()
        except OSError:
            pass  # told when the recording cannot be begun
        else:
            traffic.tasks.spawn(tidy(), name="tidy recordings")
        return record(
            folder.new_path(exchange.request_id),
            exchange=exchange,
            scrubber=lambda: SecretScrubber(site.secrets),
            on_trouble=on_trouble,
            max_bytes=options.max_bytes,
        )

    return make


RECORD_BYTES: Final = Kind(
    name="record",
    summary="A file for each attempt: what the provider sent with its timing, without secrets",
    takes=Shape.BYTES,
    gives=Shape.BYTES,
    options=RecordBytesOptions,
    make=_record,
    scope=Scope.ATTEMPT,
    once=True,
    bound="64 KiB of lines wait to be written; a disk that fails ends the recording, and not the answer",
    example="record: {folder: ~/recordings, keep_files: 100}",
)
