-- A record as schema 4 kept it, word for word. Never change this file.
BEGIN TRANSACTION;
CREATE TABLE forgotten (run TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE messages (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            after_step INTEGER, role TEXT NOT NULL, content TEXT NOT NULL, calls TEXT NOT NULL, name TEXT, compaction INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (run, number)) WITHOUT ROWID;
INSERT INTO "messages" VALUES('r00000000001',0,NULL,'system','You…','[]',NULL,0);
INSERT INTO "messages" VALUES('r00000000001',1,0,'user','Act.','[]',NULL,0);
CREATE TABLE observations (
            run TEXT NOT NULL, step INTEGER NOT NULL, number INTEGER NOT NULL,
            tool TEXT NOT NULL, arguments TEXT NOT NULL, content TEXT NOT NULL, ok INTEGER NOT NULL,
            seconds REAL NOT NULL, mutated INTEGER NOT NULL, detail TEXT NOT NULL, kept TEXT NOT NULL DEFAULT '', child TEXT NOT NULL DEFAULT '', permission TEXT,
            PRIMARY KEY (run, step, number),
            FOREIGN KEY (run, step) REFERENCES steps (run, number) ON DELETE CASCADE);
INSERT INTO "observations" VALUES('r00000000001',1,0,'list_files','{}','a.txt',1,0.1,0,'','','',NULL);
CREATE TABLE runs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, parent TEXT REFERENCES runs (id),
            goal TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, check_text TEXT NOT NULL,
            workspace TEXT NOT NULL, suite TEXT NOT NULL, tags TEXT NOT NULL,
            plan TEXT NOT NULL DEFAULT '[]', tools TEXT NOT NULL DEFAULT '[]',
            replayable INTEGER NOT NULL DEFAULT 1,
            answer TEXT, ending TEXT, error TEXT NOT NULL DEFAULT '',
            started REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0, settings TEXT NOT NULL DEFAULT '{}', process INTEGER NOT NULL DEFAULT 0);
INSERT INTO "runs" VALUES(1,'r00000000001',NULL,'count','v1',7,'','.','','[]','["look"]','["finish"]',1,NULL,NULL,'',5.0,0.0,'{"opening": 1}',0);
CREATE TABLE snapshots (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, step INTEGER NOT NULL,
            snapshot TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE steps (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            text TEXT NOT NULL, reasoning TEXT NOT NULL, calls TEXT NOT NULL, value TEXT,
            complete INTEGER NOT NULL, cached INTEGER NOT NULL, prefilled INTEGER NOT NULL,
            forced INTEGER NOT NULL, sampled INTEGER NOT NULL, reply_seconds REAL NOT NULL,
            kept INTEGER, prompt_ids BLOB, completion_ids BLOB, origins BLOB,
            logprobs BLOB, masked_logprobs BLOB,
            sub_goal INTEGER, ending TEXT, seconds REAL, kind TEXT NOT NULL DEFAULT 'act', recalled TEXT NOT NULL DEFAULT '[]',
            PRIMARY KEY (run, number));
INSERT INTO "steps" VALUES('r00000000001',0,'the plan','','[]',NULL,1,0,5,0,6,0.5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1.0,'plan','[]');
INSERT INTO "steps" VALUES('r00000000001',1,'hm','','[["list_files", {}]]',NULL,1,0,5,0,6,0.5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'act','[]');
CREATE TABLE undos (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            before TEXT NOT NULL, after TEXT, at REAL NOT NULL);
INSERT INTO "undos" VALUES(1,'r00000000001','aa','bb',7.0);
CREATE TABLE verdicts (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            status TEXT NOT NULL, score REAL, reason TEXT NOT NULL, given_by TEXT, at REAL NOT NULL);
INSERT INTO "verdicts" VALUES(1,'r00000000001','verified',NULL,'right','user',6.0);
CREATE INDEX runs_by_suite ON runs (suite, seq);
CREATE INDEX verdicts_by_run ON verdicts (run, seq);
CREATE INDEX runs_by_parent ON runs (parent);
CREATE INDEX snapshots_by_content ON snapshots (snapshot);
CREATE INDEX undos_by_run ON undos (run, seq);
COMMIT;
PRAGMA user_version = 4;
