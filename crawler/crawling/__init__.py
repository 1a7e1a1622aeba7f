"""From the Hub's listing to appended records. In the order of a run:

what is wanted   `policy` and its file; `row`, a row of the listing
what there is    `listing` asks for pages, `walk` decides row by row (`decide`) and remembers the place in `state`
                 (`sql`, `statefile`); `plan` and `front` do it without keeping anything
what is spared   `gate` opens a model: `look` finds `twins` and compares fine-tunes (`fine_tunes`, `survival`, `own`)
who scans        `queue`, `pool`, `limits` on this machine: `child` starts a `worker`, which does a `task`; on many
                 machines `fleet` and `fleet_steps`
what comes back  `outbox` (in a folder or a `bucket`) holds each `jobs.Done` until `collect` has appended it
who watches      `ledger` notes attempts, `breaker` stops what goes wrong, `status` and `report` say how it stands
all together     `supply` gives the next model, `run` the order of things
"""
