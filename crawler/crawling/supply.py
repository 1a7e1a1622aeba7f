"""Which model is next: those whose scan is due, then another page of the listing, then fine-tunes, whose base may be
known by then. Reads the listing and the queue; looks at no model."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from huggingface_hub import HfApi

from ...index.store import Index
from ...schema.errors import UsageError
from ...schema.ids import is_model_id
from .jobs import Job
from .listing import digest
from .policy import Policy
from .state import Place, Queued, State
from .walk import listing_of, walk


def check_names(models: list[str]) -> None:
    """Raise UsageError for what is no `org/name` or `org/name@revision`."""
    for text in models:
        if not is_model_id(text.partition("@")[0]):
            raise UsageError(f"{text!r} is not a model id of the form org/name")


class Supply:
    """The models of one run, named or listed, in order, each taken for this run until it is done."""

    def __init__(
        self,
        models: list[str],
        run: str,
        state: State,
        store: Index,
        policy: Policy,
        api: HfApi,
        turned: Callable[[], None],
    ) -> None:
        """`turned` is called after each page of the listing."""
        self.run, self.state, self.turned = run, state, turned
        self.named = bool(models)
        self.query = digest("named", *models) if models else listing_of(policy, api.endpoint)
        self.place: Place | None = None
        """Where the listing stands."""
        self.skipped: Counter[str] = Counter()
        """Listed models that need nothing, by reason."""
        self.requests = 0
        """For pages of the listing, in this run."""
        self.more = True
        """Whether another page may come."""
        self.off: list[tuple[Queued, str]] = []
        """Models put off, and what they wait for: a model that is at work, or a content."""
        self._pages = self._names(models) if models else self._listing(state, store, policy, api)

    def next(self, at_work: set[str]) -> Queued | None:
        """The next model; None if there is none at the moment. `at_work`: models being scanned, and their contents."""
        for each in self.off:
            if each[1] not in at_work:
                self.off.remove(each)
                return each[0]
        while not (taken := self.state.take(self.run, self.query, 1, "scan")):
            if next(self._pages, None) is None:
                self.more = False
                taken = self.state.take(self.run, self.query, 1)
                break
        return taken[0] if taken else None

    def put_off(self, queued: Queued, until: str) -> None:
        """Keep a model until its base, or the same content, which is at work, is done."""
        self.off.append((queued, until))

    def _names(self, models: list[str]) -> Iterator[Place]:
        place = self.state.begin(self.query)
        named = (text.partition("@") for text in dict.fromkeys(models))
        self.state.turn(replace(place, next_url=None), [Queued(Job(name, at or None)) for name, _, at in named])
        yield place

    def _listing(self, state: State, store: Index, policy: Policy, api: HfApi) -> Iterator[Place]:
        for step in walk(policy, state, store, api=api):
            self.place = step.place
            self.requests += step.page.requests
            self.skipped.update(d.kind for d in step.decisions if d.action == "skip")
            self.turned()
            yield step.place
