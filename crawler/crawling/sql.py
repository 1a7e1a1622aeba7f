"""The longer statements of `state`, by what they do. The tables are in `statefile`."""

BEGIN = """INSERT INTO listing (query, started, pages, rows, eligible, indexed, left_out, bad)
VALUES (?, ?, 0, 0, 0, 0, 0, 0)"""
QUEUE = """INSERT INTO queue (model_id, revision, size, tries, kind, priority, base_model, query)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (model_id, query) DO UPDATE SET revision = excluded.revision, size = excluded.size, kind = excluded.kind,
priority = excluded.priority, base_model = excluded.base_model WHERE taken_by IS NULL"""
TAKE = """SELECT number, model_id, revision, size, tries, kind, priority, base_model FROM queue
WHERE taken_by IS NULL AND query = ? AND kind = coalesce(?, kind) ORDER BY priority, number LIMIT ?"""
AGAIN = """UPDATE queue SET revision = ?, size = ?, tries = ?, kind = ?, priority = ?, base_model = ?, taken_by = NULL
WHERE model_id = ?"""
TURN = """UPDATE listing SET next_url = ?, pages = ?, rows = ?, eligible = ?, indexed = ?, left_out = ?, bad = ?,
finished = ? WHERE number = ?"""
NOTE = """INSERT INTO attempts
(run, model_id, revision, how, outcome, reason, appended, requests, bytes, seconds, time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
COVERED = "SELECT count(DISTINCT model_id) FROM attempts WHERE time >= ? AND appended"
ATTEMPTS = "SELECT * FROM attempts WHERE number > ? AND run = coalesce(?, run) ORDER BY number LIMIT ?"
