"""From the Hub's listing to appended records.

`policy` says what is wanted, `listing` walks the Hub's pages, `state` remembers where and what is known, `decide` says
what becomes of a row, `look` spares scans (twins, fine-tunes), `pool` and `fleet` scan elsewhere, `outbox` holds what
they did until the one writer, `collect`, has appended it.
"""
