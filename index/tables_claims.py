"""The tables of what outside sources claim, of remarks and of conflicts. See `tables` for how to read the columns."""

from .rows import Table, items, parts, table

CLAIM = """origin           | text   | item.source.origin                 | independent group of people behind it
        title            | text   | item.source.title                  | of the source
        url              | text   | item.source.url                    | of the source
        repo             | text   | item.source.repo                   | of the source
        commit           | text   | item.source.commit                 | of the source
        path             | text   | item.source.path                   | in its repository
        granularity      | text   |                                    | what the claim is about
        stance           | text   |                                    | claims, denies, notes
        statement        | text   |                                    | in words"""
"""Columns of every claim: who makes it, and of what kind it is."""

CLAIMS: tuple[Table, ...] = (
    table(
        "observations",
        "What an outside source claims, in its own numbers.",
        items("observations"),
        f"""
        observation      | int    | number                             | position in the record, from 1
        {CLAIM}
        revision         | text   |                                    | as the source gives it
        dtype            | text   |                                    | as the source gives it
        prompt           | text   |                                    | it used
        round            | int    |                                    | of its detector
        detector_found   | bool   |                                    | whether its detector found it
        value            | float  |                                    | of the weight
        activation_in    | float  |                                    | what the weight multiplies
        activation_out   | float  |                                    | the super activation
        share            | float  |                                    | part of the spike
        intervention     | text   |                                    | what it did
        changed          | text   |                                    | to what
        corpus           | text   |                                    | it measured on
        finite           | bool   |                                    | false if the figure after was not finite
        ppl_before       | float  |                                    | perplexity before
        ppl_after        | float  |                                    | perplexity after
        ppl_ratio        | float  |                                    | after over before
        ci95             | floats |                                    | interval of its figure
        nll_before       | float  |                                    | mean before, nat per token
        nll_relative_change | float |                                  | change over the mean before
        kl               | float  |                                    | in nat
        second_hand      | bool   |                                    | whether it only repeats another's figure
        caveat           | text   |                                    | what to mind
        """,
    ),
    table(
        "observation_targets",
        "A place that an observation is about.",
        parts("observations", "targets"),
        """
        observation      | int    | number                             | the observation
        layer            | int    |                                    | from 0
        expert           | int    |                                    | null in a dense layer
        row              | int    |                                    | output channel; null for a whole column
        col              | int    |                                    | input channel; null for a whole row
        tensor           | text   |                                    | name on disk
        weight_id        | text   |                                    | id of the scalar; null if it is not one
        """,
    ),
    table(
        "observation_metrics",
        "A further number of a source, under the source's own name.",
        parts("observations", "metrics"),
        """
        observation      | int    | number                             | the observation
        name             | text   |                                    | as the source has it
        value            | float  |                                    | if it is a number
        text             | text   |                                    | if it is none
        """,
    ),
    table(
        "remarks",
        "A curator's note for readers.",
        items("remarks"),
        """
        remark           | int    | number                             | position in the record, from 1
        about            | texts  |                                    | weight ids
        text             | text   |                                    | the note
        """,
    ),
    table(
        "conflicts",
        "A disagreement that a reader must see.",
        items("status.conflicts"),
        """
        conflict         | int    | number                             | position in the record, from 1
        kind             | text   |                                    | layer, location, effect, value, set
        weights          | texts  |                                    | weight ids
        sides            | texts  |                                    | who says what
        """,
    ),
)
