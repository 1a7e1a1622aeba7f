"""The tables of the DuckDB file, as data: name, type, where the value stands, meaning. Documented nowhere else.

Paths start at a `rows.Row`; no path means the field of the item with the column's name. As everywhere, row is the
output channel and col the input channel, also where the tensor is stored transposed. Times are UTC. All tables but
`records` are about the newest version of each model. What outside sources claim stands in `tables_claims`, what was
compared with base models in `tables_compared`, what curators decided in `tables_decided`.
"""

import hashlib

from .rows import Table, each_version, items, newest, parts, table, with_status
from .tables_claims import CLAIMS
from .tables_compared import COMPARED
from .tables_decided import DECIDED

TABLES: tuple[Table, ...] = (
    table(
        "models",
        "A model: what its newest version says.",
        newest,
        """
        revision         | text  | record.model.revision               | full commit sha
        architecture     | text  | record.model.architecture           | class name in config.json
        model_type       | text  | record.model.model_type             | model type in config.json
        parameters       | int   | record.model.parameters             | number of parameters
        dtype            | text  | record.model.dtype                  | stored dtype, in torch's name
        layers           | int   | record.model.layers                 | number of layers
        hidden_size      | int   | record.model.hidden_size            | width of the residual stream
        base_model       | text  | record.model.base_model             | the model it was made from
        relation         | text  | record.model.relation               | how it was made from that
        outcome          | text  | record.status.outcome               | of the newest scan; else reported, inherited
        super_weights    | int   | #record.super_weights               | rows in super_weights, inert candidates too
        content          | text  | record.model.content                | digest over all that a scan depends on
        scans            | int   | #record.scans                       | rows in scans
        survivals        | int   | #record.survivals                   | base models that it was compared with
        observations     | int   | #record.observations                | rows in observations
        conflicts        | int   | #record.status.conflicts            | rows in conflicts
        decisions        | int   | #record.decisions                   | rows in decisions
        versions         | int   | number                              | rows in records
        digest           | text  | record.provenance.digest            | digest of the newest version
        time             | time  | record.provenance.time              | when that was appended
        submitter        | text  | record.provenance.submitter         | who appended it
        withdrawn_time   | time  | record.provenance.withdrawn.time    | when it was withdrawn; null if it counts
        withdrawn_reason | text  | record.provenance.withdrawn.reason  | why
        """,
    ),
    table(
        "records",
        "A version of a model's record.",
        each_version,
        """
        version          | int   | record.provenance.version           | number of the version, from 1
        digest           | text  | record.provenance.digest            | sha256 over the canonical JSON without itself
        previous         | text  | record.provenance.previous          | digest of the version before
        schema_version   | text  | record.provenance.schema_version    | schema it was written with
        time             | time  | record.provenance.time              | when it was appended
        submitter        | text  | record.provenance.submitter         | who appended it
        withdrawn_time   | time  | record.provenance.withdrawn.time    | when it was withdrawn
        withdrawn_reason | text  | record.provenance.withdrawn.reason  | why
        revision         | text  | record.model.revision               | full commit sha
        outcome          | text  | record.status.outcome               | of its newest scan; reported if there is none
        line             | long  | line                                | the whole version, as it stands in the log
        """,
    ),
    table(
        "files",
        "A weight file that was read.",
        items("model.files"),
        """
        path             | text  |                                     | path in the repository
        size             | int   |                                     | bytes
        sha256           | text  |                                     | of the whole file
        integrity        | text  |                                     | how the bytes read are vouched for
        """,
    ),
    table(
        "super_weights",
        "A scalar that is, or is claimed to be, a super weight, and what is established about it.",
        with_status("super_weights"),
        """
        revision         | text   | record.model.revision              | full commit sha
        weight_id        | text   | item.id                            | L<layer>[.E<expert>].R<row>.C<col>
        tensor           | text   |                                    | name on disk
        layer            | int    |                                    | from 0
        expert           | int    |                                    | null in a dense layer
        row              | int    |                                    | output channel
        col              | int    |                                    | input channel
        index            | ints   |                                    | position in the stored tensor
        shape            | ints   |                                    | of the stored tensor
        dtype            | text   |                                    | stored dtype
        value            | float  |                                    | the stored number
        bits             | text   |                                    | its bits in hex
        scale            | float  |                                    | value over what the bits mean; null: none
        packed           | text   |                                    | format of codes that share the word in bits
        file             | text   |                                    | weight file that holds it
        byte_offset      | int    |                                    | of its first byte in that file
        role             | text   |                                    | creator, amplifier, remover, transient
        group_id         | text   | item.group                         | largest group it belongs to
        activation_in    | float  |                                    | what it multiplies
        activation_out   | float  |                                    | the super activation
        share            | float  |                                    | part of the spike this product explains
        coherence        | float  |                                    | agreement of the products in sign
        rank             | int    |                                    | of its magnitude in its matrix, 1 the largest
        round            | int    |                                    | in which it was found, 0 the unmodified pass
        token_position   | int    | item.token.position                | of the token at which the spike stood
        token_id         | int    | item.token.id                      | of that token
        token_text       | text   | item.token.text                    | of that token
        token_kind       | text   | item.token.kind                    | first, bos, delimiter, newline, special, word
        scan_id          | text   | item.scan                          | scan that found it; null if claimed only
        location         | text   | parent.location                    | confirmed, reported, disputed, refuted
        origins          | texts  | parent.origins                     | independent sources that claim it
        alone            | text   | parent.alone                       | verdict on removing it alone
        alone_basis      | text   | parent.alone_basis                 | measured by us or reported
        grouped          | text   | parent.grouped                     | verdict on the strongest of its groups
        grouped_basis    | text   | parent.grouped_basis               | measured by us or reported
        grouped_in       | text   | parent.grouped_in                  | that group
        withdrawn_time   | time   | record.provenance.withdrawn.time   | when the record was withdrawn; null if not
        """,
    ),
    table(
        "groups",
        "Weights that are judged together.",
        with_status("groups"),
        """
        group_id         | text   | item.id                            | id in the record
        kind             | text   |                                    | neuron, channel, joint
        reported         | bool   |                                    | whether an outside source names the set
        members          | texts  |                                    | weight ids
        verdict          | text   | parent.verdict                     | on removing all of them
        basis            | text   | parent.basis                       | measured by us or reported
        ppl_before       | float  | parent.ppl_before                  | perplexity before
        ppl_after        | float  | parent.ppl_after                   | perplexity after; null if not finite
        missing          | texts  | parent.missing                     | weights that others add and that matter
        """,
    ),
    table(
        "group_members",
        "A weight in a group.",
        parts("groups", "members"),
        """
        group_id         | text   | parent.id                          | the group
        weight_id        | text   | item                               | the weight
        """,
    ),
    table(
        "effects",
        "A measured effect of changing weights. NLL in nat per predicted token.",
        items("effects"),
        """
        effect_id        | text   | item.id                            | id in the record
        scan_id          | text   | item.scan                          | scan that measured it
        weights          | texts  |                                    | weight ids
        intervention     | text   |                                    | zero, mean, class_mean, scale, restore
        scale            | float  |                                    | factor, for scale
        corpus           | text   | item.corpus.name                   | text it was measured on
        corpus_sha256    | text   | item.corpus.sha256                 | of that text
        tokens           | int    | item.corpus.tokens                 | predicted tokens
        bos              | bool   | item.corpus.bos                    | whether each window begins with <s>
        finite           | bool   |                                    | whether all logits stayed finite
        nll_before       | float  |                                    | mean before
        nll_after        | float  |                                    | mean after; null if not finite
        delta_nll        | float  |                                    | change of the mean; null if not finite
        ppl_before       | float  |                                    | perplexity before
        ppl_after        | float  |                                    | perplexity after; null if not finite or huge
        kl               | float  |                                    | KL(before, after) in nat
        top1_agreement   | float  |                                    | share of tokens with the same first choice
        stopword_before  | float  |                                    | probability of stop words before
        stopword_after   | float  |                                    | probability of stop words after
        delta_nll_windows | floats |                                   | change of the mean of each window
        delta_nll_ci95   | floats |                                    | 95 % interval of delta_nll over windows
        recovery         | float  |                                    | for restore: part of the damage undone
        control          | text   | item.control.kind                  | what the control changed instead
        control_worst_delta_nll | float | item.control.worst_delta_nll | its largest change; null if not finite
        outliers         | int    | item.outliers.count                | large other weights removed together
        outliers_delta_nll | float | item.outliers.worst_delta_nll     | change that made; null if not finite
        verdict          | text   |                                    | confirmed, partial, inert, non_finite, untested
        """,
    ),
    table(
        "effect_weights",
        "A weight that was changed for an effect.",
        parts("effects", "weights"),
        """
        effect_id        | text   | parent.id                          | the effect
        weight_id        | text   | item                               | the weight
        """,
    ),
    table(
        "scans",
        "A run of a detector, also one that found nothing or could not be made.",
        items("scans"),
        """
        scan_id          | text   | item.id                            | digest over model, revision, files, settings
        scan             | int    | number                             | position in the record, from 1, oldest first
        outcome          | text   |                                    | how it ended
        revision         | text   |                                    | the commit
        reason           | text   |                                    | why it could not be made
        time             | time   |                                    | when
        detector         | text   | item.settings.detector             | name and version
        constants        | json   | item.settings.constants            | its constants
        compute_dtype    | text   | item.settings.compute_dtype        | dtype of the computation
        effects          | bool   | item.settings.effects              | whether effects were measured
        device           | text   |                                    | where it ran
        libraries        | json   |                                    | versions of libraries
        layers           | int    |                                    | layers of the model
        layers_covered   | ints   |                                    | layers that were read
        experts          | int    |                                    | experts of the model
        experts_covered  | int    |                                    | experts that got a token
        rounds           | int    |                                    | rounds until nothing new was found
        converged        | bool   |                                    | whether that point was reached
        fits_float16     | bool   |                                    | whether float16 holds all activations
        bytes_read       | int    | item.cost.bytes_read               | of the checkpoint
        bytes_checkpoint | int    | item.cost.bytes_checkpoint         | size of the checkpoint
        seconds          | float  | item.cost.seconds                  | time it took
        peak_memory      | int    | item.cost.peak_memory              | bytes of resident memory
        requests         | int    | item.cost.requests                 | HTTP requests
        shared_model     | text   | item.shared_from.model_id          | identical repository that was scanned
        shared_revision  | text   | item.shared_from.revision          | the commit there
        shared_scan      | text   | item.shared_from.scan              | its scan_id there
        """,
    ),
    table(
        "layer_profiles",
        "The largest activations of a layer in a scan.",
        parts("scans", "profile"),
        """
        scan_id          | text   | parent.id                          | the scan
        layer            | int    |                                    | from 0
        activation_in    | float  |                                    | largest into the down projection
        activation_out   | float  |                                    | largest out of it
        residual         | float  |                                    | largest in the residual stream
        finite           | bool   |                                    | false if a figure was not finite
        """,
    ),
    table(
        "events",
        "A massive activation that a layer made, raised or removed.",
        parts("scans", "events"),
        """
        scan_id          | text   | parent.id                          | the scan
        layer            | int    |                                    | from 0
        channel          | int    |                                    | of the residual stream
        stream           | int    |                                    | 0 the unmodified pass
        role             | text   |                                    | creator, amplifier, remover, transient
        token_position   | int    | item.token.position                | of the token
        token_id         | int    | item.token.id                      | of the token
        before           | float  |                                    | activation before the layer
        after            | float  |                                    | activation after it
        kappa            | float  |                                    | square of it over those of all channels below
        origin           | text   |                                    | mlp, attention, bias, embedding
        spread           | text   |                                    | concentrated, neuron_group, distributed, none
        persistent       | bool   |                                    | whether later layers keep it
        weights          | texts  |                                    | weight ids that explain it
        """,
    ),
    *COMPARED,
    *CLAIMS,
    *DECIDED,
)

LAYOUT = hashlib.sha256(repr([(t.name, t.meaning, t.columns) for t in TABLES]).encode()).hexdigest()
"""Changes whenever a table or column does: a file of another layout is rebuilt."""
