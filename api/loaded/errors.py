"""What can be wrong with a model that is already loaded. Each is one line: what, where, what to do."""

from ...schema.errors import SwindexError


class LoadedError(SwindexError):
    """The super weights of a loaded model cannot be worked on."""


class NotFoundInModel(LoadedError):
    """The model has no parameter where the record's tensor should be."""


class AnotherRevision(LoadedError):
    """The model is of another commit, or another model, than the record."""


class NotTheRecorded(LoadedError):
    """A scalar of the model is not what the record says."""
