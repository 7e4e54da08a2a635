"""The tables of the semantic cache's file. Triggers keep totals and dependent rows right, whoever writes."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: an index that lags behind finds nothing else
    partition BLOB NOT NULL, normalised TEXT NOT NULL, question TEXT NOT NULL, vector BLOB NOT NULL,
    answer BLOB NOT NULL, endpoint TEXT NOT NULL, tenant TEXT NOT NULL, language TEXT NOT NULL,
    target TEXT NOT NULL, policy TEXT NOT NULL, embedder TEXT NOT NULL, documents_version TEXT NOT NULL,
    documents TEXT NOT NULL, tags TEXT NOT NULL, cost_nusd INTEGER, bytes INTEGER NOT NULL,
    created_s REAL NOT NULL, expires_s REAL NOT NULL, request_id TEXT NOT NULL, user TEXT NOT NULL,
    priority REAL NOT NULL, hits INTEGER NOT NULL DEFAULT 0, last_hit_s REAL,
    agreed INTEGER NOT NULL DEFAULT 0,
    wrong INTEGER NOT NULL DEFAULT 0, trust TEXT NOT NULL DEFAULT 'fresh'
);
CREATE UNIQUE INDEX IF NOT EXISTS entries_question ON entries (partition, normalised);
CREATE INDEX IF NOT EXISTS entries_priority ON entries (priority);
CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires_s);
CREATE INDEX IF NOT EXISTS entries_user ON entries (user, created_s) WHERE user <> '';
CREATE TABLE IF NOT EXISTS documents (
    document TEXT NOT NULL, version TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (document, entry)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_entry ON documents (entry);
CREATE TABLE IF NOT EXISTS partitions (
    partition BLOB PRIMARY KEY, recipe BLOB NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (
    partition BLOB NOT NULL, normalised TEXT NOT NULL, question TEXT NOT NULL, count INTEGER NOT NULL,
    since_s REAL NOT NULL, last_s REAL NOT NULL, UNIQUE (partition, normalised)
);
CREATE INDEX IF NOT EXISTS asked_count ON asked (count, last_s);
CREATE TABLE IF NOT EXISTS gone (
    number INTEGER PRIMARY KEY, id INTEGER NOT NULL, partition BLOB NOT NULL  -- in the order they went
);
CREATE TABLE IF NOT EXISTS index_stamp (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    entries TEXT NOT NULL,  -- these and no others: a file that replaces a damaged one has another
    stamp TEXT NOT NULL  -- of the file of the index that belongs to them
);
INSERT OR IGNORE INTO index_stamp VALUES (1, hex(randomblob(16)), '');
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_s REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    dropped INTEGER NOT NULL, doubted INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS total (
    one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
    priced INTEGER NOT NULL, cost_nusd INTEGER NOT NULL, clock REAL NOT NULL
);
INSERT OR IGNORE INTO total VALUES (1, 0, 0, 0, 0, 0.0);
CREATE TRIGGER IF NOT EXISTS entry_in AFTER INSERT ON entries BEGIN
    UPDATE total SET entries = entries + 1, bytes = bytes + new.bytes,
        priced = priced + (new.cost_nusd IS NOT NULL), cost_nusd = cost_nusd + coalesce(new.cost_nusd, 0);
END;
DROP TRIGGER IF EXISTS entry_out;  -- of an earlier form of the file, like the table
DROP TABLE IF EXISTS removed;
CREATE TRIGGER IF NOT EXISTS entry_gone AFTER DELETE ON entries BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.bytes,
        priced = priced - (old.cost_nusd IS NOT NULL), cost_nusd = cost_nusd - coalesce(old.cost_nusd, 0);
    DELETE FROM documents WHERE entry = old.id;
    INSERT INTO gone (id, partition) VALUES (old.id, old.partition);
    DELETE FROM partitions WHERE partition = old.partition
        AND NOT EXISTS (SELECT 1 FROM entries WHERE partition = old.partition)
        AND NOT EXISTS (SELECT 1 FROM asked WHERE partition = old.partition);
END;
CREATE TRIGGER IF NOT EXISTS asked_out AFTER DELETE ON asked BEGIN
    DELETE FROM partitions WHERE partition = old.partition
        AND NOT EXISTS (SELECT 1 FROM entries WHERE partition = old.partition)
        AND NOT EXISTS (SELECT 1 FROM asked WHERE partition = old.partition);
END;
CREATE TRIGGER IF NOT EXISTS partition_in AFTER INSERT ON partitions BEGIN
    UPDATE total SET bytes = bytes + new.bytes;
END;
CREATE TRIGGER IF NOT EXISTS partition_out AFTER DELETE ON partitions BEGIN
    UPDATE total SET bytes = bytes - old.bytes;
END;
"""

INSERT = """
INSERT INTO entries (
    partition, normalised, question, vector, answer, endpoint, tenant, language, target, policy, embedder,
    documents_version, documents, tags, cost_nusd, bytes, created_s, expires_s, request_id, user, priority
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

ASKED = """
INSERT INTO asked (partition, normalised, question, count, since_s, last_s) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (partition, normalised) DO UPDATE SET count = count + excluded.count, last_s = excluded.last_s
"""

AUDIT = "INSERT INTO audit (at_s, who, what, dropped, doubted, bytes) VALUES (?, ?, ?, ?, ?, ?)"

VECTORS = """
SELECT id, partition, vector FROM entries WHERE id > ? AND embedder = ? AND expires_s > ? ORDER BY id LIMIT ?
"""
GONE = "SELECT number, id, partition FROM gone WHERE number > ? ORDER BY number LIMIT ?"
EXPIRE = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires_s <= ? LIMIT ?)"
LEAST = "SELECT id, priority FROM entries ORDER BY priority LIMIT ?"
