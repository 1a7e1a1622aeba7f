"""A checkpoint seen through another: place, files and counts are those of the one behind it, tensors are not."""

from threading import Event

from .base import Checkpoint, FileEntry


class View(Checkpoint):
    """What views of a checkpoint share. `inner` is the checkpoint as it is stored."""

    def __init__(self, inner: Checkpoint) -> None:
        super().__init__()
        self.inner = inner
        self.model_id, self.revision, self.max_read = inner.model_id, inner.revision, inner.max_read
        self.meter, self._small = inner.meter, inner._small

    @property
    def place(self) -> str:
        """Where it is."""
        return self.inner.place

    @property
    def entries(self) -> dict[str, FileEntry]:
        """Its files, as they are there."""
        return self.inner.entries

    @property
    def base_model(self) -> tuple[str | None, str | None]:
        """What it was made from."""
        return self.inner.base_model


class Through(View):
    """What views share whose weight files are those of the checkpoint behind, byte for byte."""

    def __init__(self, inner: Checkpoint) -> None:
        super().__init__(inner)
        self._heads, self.exact = inner._heads, inner.exact

    @property
    def weight_files(self) -> tuple[str, ...]:
        """Its weight files."""
        return self.inner.weight_files

    @property
    def source(self) -> Checkpoint:
        """The checkpoint as stored."""
        return self.inner.source

    def read_into(self, path: str, start: int, view: memoryview, stop: Event | None = None) -> None:
        """Its bytes."""
        self.inner.read_into(path, start, view, stop)
