"""The table of what became of base models' super weights. See `tables` for how to read the columns."""

from .rows import Table, parts, table

COMPARED: tuple[Table, ...] = (
    table(
        "survivals",
        "A super weight recorded of a base model, and what stands at its place in a model made from it. No scan.",
        parts("survivals", "scalars"),
        """
        base_model       | text   | parent.base                        | the model that was measured
        base_revision    | text   | parent.base_revision               | the commit at which it was
        base_record      | text   | parent.base_record                 | digest of the version that names the weight
        revision         | text   | parent.revision                    | the commit that was looked at
        time             | time   | parent.time                        | when
        weight_id        | text   | item.weight                        | in the base
        tensor           | text   |                                    | name on disk, in both
        index            | ints   |                                    | position in it, in both
        state            | text   |                                    | same, drifted, gone
        compared         | text   |                                    | bits; value where dtypes differ; or null
        drift            | float  |                                    | relative change, signed
        base_dtype       | text   | item.base.dtype                    | stored dtype in the base
        base_bits        | text   | item.base.bits                     | its bits there
        base_value       | float  | item.base.value                    | the number there
        dtype            | text   | item.here.dtype                    | stored dtype here
        bits             | text   | item.here.bits                     | its bits here
        value            | float  | item.here.value                    | the number here; null if there is none
        reason           | text   |                                    | why it is gone
        """,
    ),
)
