"""The files that a form has chosen: what each is called and how large it is, or why it is not there any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.application import Application, FileFacts
from isthmus.errors import InputFault, InvalidInput, NotFound
from isthmus.gateway.submission import FileReference, OutputReference, UploadReference, files_by_input
from isthmus.portal.formtexts import FileChoice, KeptFile, Texts, file_of_text, text_of_file
from isthmus.store import JobInput, Store, Viewer
from isthmus.store.views import JobView

_GONE = "was deleted: choose another, or send it again"


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """One file as a form shows it; `text` is what the form sends for it. With a `fault` it is not there."""

    text: str
    name: str
    size: int = 0
    origin: str = ""
    fault: str = ""
    sha256: str = ""
    media_type: str = ""
    count: int = 1

    @property
    def facts(self) -> FileFacts:
        return FileFacts(self.sha256, self.size, self.name)


@dataclass(frozen=True, slots=True)
class Chooser:
    """Looks chosen files up on a viewer's behalf; `parent` is the job that is submitted again."""

    store: Store
    viewer: Viewer
    parent: JobView | None = None

    def all(self, application: Application, texts: Texts) -> dict[str, tuple[ChosenFile, ...]]:
        """The files that the form has under each file input's name."""
        return {
            found.name: tuple(self.one(text) for text in texts.get(f"files.{found.name}", ()) if text)
            for found in application.inputs
            if found.file
        }

    def one(self, text: str) -> ChosenFile:
        """The file that a form's text names."""
        chosen = file_of_text(text)
        try:
            match chosen:
                case UploadReference(upload_id):
                    found = self.store.upload(self.viewer, upload_id)
                    name, origin = found.name, "sent from your computer"
                    return ChosenFile(text, name, found.size, origin, "", found.sha256, found.media_type)
                case OutputReference():
                    return self._output(text, chosen)
                case KeptFile():
                    return self._kept(text, chosen)
        except NotFound:
            pass
        return ChosenFile(text, "A file", fault=_GONE)

    def _output(self, text: str, chosen: OutputReference) -> ChosenFile:
        job = self.store.job(self.viewer, chosen.job_id)
        files = [one for one in job.outputs if one.name == chosen.output and chosen.path in (None, one.path)]
        if not files:
            return ChosenFile(text, chosen.path or chosen.output, fault=f"an output of the job {job.name}, {_GONE}")
        name = files[0].path.rpartition("/")[2] if len(files) == 1 else f"{len(files)} files of {chosen.output}"
        first, size = files[0], sum(one.size for one in files)
        origin = f"output of the job {job.name}"
        return ChosenFile(text, name, size, origin, "", first.sha256, first.media_type, len(files))

    def _kept(self, text: str, chosen: KeptFile) -> ChosenFile:
        kept = self.kept(chosen)
        if kept is None:
            return ChosenFile(text, "A file", fault=f"of the earlier job {_GONE}")
        return ChosenFile(text, kept.file_name, kept.size, "as in the earlier job", "", kept.sha256)

    def kept(self, chosen: KeptFile) -> JobInput | None:
        """The file that the earlier job took there, if its bytes are kept: a deleted job only knows of its files."""
        if self.parent is None or self.parent.deleted_at is not None:
            return None
        taken = files_by_input(self.parent).get(chosen.name, ())
        return next((one for one in taken if one.position == chosen.position), None)


def faults_of(chosen: Mapping[str, Sequence[ChosenFile]]) -> Iterable[InputFault]:
    """One fault for each input some of whose files are not there."""
    for name, files in chosen.items():
        if gone := next((one for one in files if one.fault), None):
            yield InputFault(f"files.{name}", "gone", f"{gone.name} {gone.fault}")


def kept_texts(parent: JobView) -> dict[str, tuple[str, ...]]:
    """What a form holds for the files that the earlier job took."""
    return {
        f"files.{name}": tuple(text_of_file(KeptFile(name, one.position)) for one in taken)
        for name, taken in files_by_input(parent).items()
    }


@dataclass(frozen=True, slots=True)
class _Stored:
    sha256: str
    size: int


def references(chooser: Chooser, chosen: Iterable[FileChoice], owner: Viewer) -> tuple[FileReference, ...]:
    """The files as a request names them. What an earlier job took becomes a file of the owner's own, bytes and all.

    So it can be taken together with others, also where its upload was deleted since. InvalidInput: it is gone.
    """
    found: list[FileReference] = []
    for one in chosen:
        if not isinstance(one, KeptFile):
            found.append(one)
            continue
        kept = chooser.kept(one)
        if kept is None:
            message = f"a file of the earlier job {_GONE}"
            raise InvalidInput(message, (InputFault(f"files.{one.name}", "gone", message),))
        media_type = "application/octet-stream"
        upload = chooser.store.add_upload(owner, _Stored(kept.sha256, kept.size), kept.file_name, media_type)
        found.append(UploadReference(upload.id))
    return tuple(found)
