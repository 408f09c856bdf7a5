"""The tables of the catalogue, as named migrations; `store.migrations` applies them.

Knows the shape. Does not know what is done with it (see one module a noun).
"""

from __future__ import annotations

from store.sqlite import Database, Migrations, statements

CATALOGUE = Migrations("catalogue")


@CATALOGUE(name="001-datasets-and-edits")
def _datasets(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE datasets (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            path TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            rows INTEGER,
            bytes INTEGER NOT NULL,
            sha256 TEXT,
            device TEXT NOT NULL,      -- text: both may be unsigned 64 bit, SQLite's are signed
            inode TEXT NOT NULL,
            mtime_ns INTEGER NOT NULL,
            added REAL NOT NULL,
            opened REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE edits (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('replace', 'insert', 'delete')),
            row INTEGER NOT NULL CHECK (row >= 1),
            before BLOB,               -- bytes: a row may hold invalid UTF-8
            after BLOB,
            reverts INTEGER REFERENCES edits(id) ON DELETE CASCADE,
            state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped')),
            saved INTEGER NOT NULL DEFAULT 0 CHECK (saved IN (0, 1)),
            created REAL NOT NULL,
            CHECK ((kind = 'insert') = (before IS NULL)),
            CHECK ((kind = 'delete') = (after IS NULL))
        ) STRICT""",
        "CREATE INDEX edits_by_dataset ON edits(dataset_id, id)",
        "CREATE INDEX edits_unsaved ON edits(dataset_id, id) WHERE saved = 0",
        "CREATE INDEX edits_stack ON edits(dataset_id, state, id) WHERE reverts IS NULL",
        "CREATE INDEX edits_reverting ON edits(reverts)",
        """CREATE TABLE versions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            sha256 TEXT NOT NULL,
            rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            upto INTEGER NOT NULL,     -- the last edit that is in the saved file
            state TEXT NOT NULL CHECK (state IN ('intended', 'saved')),
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX versions_by_dataset ON versions(dataset_id, id)",
        """CREATE TABLE snapshots (
            sha256 TEXT PRIMARY KEY,
            dataset_id INTEGER REFERENCES datasets(id) ON DELETE SET NULL,
            source TEXT NOT NULL,
            rows INTEGER NOT NULL,
            train_rows INTEGER NOT NULL,
            eval_rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            path TEXT NOT NULL,
            split TEXT NOT NULL CHECK (json_valid(split)),
            created REAL NOT NULL
        ) STRICT""",
    )


@CATALOGUE(name="002-runs-and-commands")
def _runs(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            note TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL CHECK (status IN
                ('queued', 'running', 'paused', 'stopped', 'finished', 'failed', 'lost')),
            model TEXT NOT NULL,
            dataset TEXT NOT NULL,
            recipe TEXT NOT NULL CHECK (json_valid(recipe)),
            seed INTEGER NOT NULL,
            snapshot TEXT REFERENCES snapshots(sha256),
            base_sha256 TEXT,
            template_sha256 TEXT,
            versions TEXT NOT NULL CHECK (json_valid(versions)),
            machine TEXT NOT NULL CHECK (json_valid(machine)),
            split TEXT NOT NULL CHECK (json_valid(split)),
            pid INTEGER,
            process_started REAL,
            step INTEGER NOT NULL DEFAULT 0,
            total_steps INTEGER,
            loss REAL,
            eval_loss REAL,
            best_step INTEGER,
            created REAL NOT NULL,
            started REAL,
            finished REAL,
            reason TEXT,
            promoted_step INTEGER,
            parent INTEGER REFERENCES runs(id)
        ) STRICT""",
        """CREATE TABLE commands (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            command TEXT NOT NULL CHECK (command IN ('stop', 'pause', 'checkpoint')),
            created REAL NOT NULL,
            taken REAL
        ) STRICT""",
        "CREATE INDEX commands_pending ON commands(run_id, id) WHERE taken IS NULL",
    )


@CATALOGUE(name="003-chats-checks-exports")
def _chats(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE chats (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            created REAL NOT NULL,
            system TEXT NOT NULL,
            sampling TEXT NOT NULL CHECK (json_valid(sampling))
        ) STRICT""",
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            chat_id INTEGER NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            role TEXT NOT NULL,
            text TEXT NOT NULL,
            "column" TEXT,
            model TEXT,
            tokens INTEGER,
            seconds REAL,
            first_token_seconds REAL,
            stop TEXT,
            seed INTEGER,
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX turns_by_chat ON turns(chat_id, position, id)",
        """CREATE TABLE checks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            suite TEXT NOT NULL,
            suite_sha256 TEXT NOT NULL,
            model TEXT NOT NULL,
            passed INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            errors INTEGER NOT NULL,
            rate REAL,
            low REAL,
            high REAL,
            created REAL NOT NULL,
            items TEXT NOT NULL CHECK (json_valid(items))
        ) STRICT""",
        "CREATE INDEX checks_by_model ON checks(model, suite, id)",
        """CREATE TABLE exports (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            ref TEXT NOT NULL,
            run_id INTEGER REFERENCES runs(id),
            step INTEGER,
            kind TEXT NOT NULL CHECK (kind IN ('gguf', 'merged', 'adapter')),
            type TEXT NOT NULL,
            path TEXT NOT NULL,
            bytes INTEGER,
            sha256 TEXT,
            status TEXT NOT NULL CHECK (status IN ('running', 'proved', 'unproved', 'failed')),
            created REAL NOT NULL,
            finished REAL,
            provenance TEXT NOT NULL CHECK (json_valid(provenance))
        ) STRICT""",
        """CREATE TABLE proofs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            export_id INTEGER REFERENCES exports(id) ON DELETE CASCADE,
            file TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            against TEXT NOT NULL,
            verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'warn', 'fail')),
            stages TEXT NOT NULL CHECK (json_valid(stages)),
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX proofs_by_export ON proofs(export_id, id)",
    )


@CATALOGUE(name="004-splits")
def _splits(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE splits (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            train REAL NOT NULL,
            eval REAL NOT NULL,
            test REAL NOT NULL,
            seed INTEGER NOT NULL,
            group_by TEXT NOT NULL CHECK (json_valid(group_by)),
            counts TEXT NOT NULL CHECK (json_valid(counts)),
            warnings TEXT NOT NULL CHECK (json_valid(warnings)),
            ties BLOB NOT NULL,
            who TEXT NOT NULL,
            created REAL NOT NULL,
            retired REAL               -- NULL: in force
        ) STRICT""",
        "CREATE INDEX splits_by_dataset ON splits(dataset_id, id)",
        "ALTER TABLE snapshots ADD COLUMN test_rows INTEGER NOT NULL DEFAULT 0",
    )


@CATALOGUE(name="005-edit-steps")
def _steps(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE steps (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            parent INTEGER NOT NULL,   -- the step that undo goes back to; 0: as first opened
            base INTEGER NOT NULL,     -- the step that its edits are made on, most often `parent`
            batch INTEGER NOT NULL,    -- shared by steps that several files made at once
            label TEXT NOT NULL,
            row INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            restores INTEGER,          -- the version that it brings back
            moves INTEGER NOT NULL DEFAULT 0 CHECK (moves IN (0, 1)),
            aside INTEGER NOT NULL DEFAULT 0 CHECK (aside IN (0, 1)),  -- found no place in a merge
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX steps_by_dataset ON steps(dataset_id, id)",
        "CREATE INDEX steps_by_batch ON steps(batch)",
        """CREATE TABLE heads (
            dataset_id INTEGER PRIMARY KEY REFERENCES datasets(id) ON DELETE CASCADE,
            head INTEGER NOT NULL DEFAULT 0,
            tip INTEGER NOT NULL DEFAULT 0,
            file INTEGER NOT NULL DEFAULT 0,
            floor INTEGER NOT NULL DEFAULT 0,
            epoch INTEGER NOT NULL DEFAULT 0
        ) STRICT""",
        """CREATE TABLE moments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            head INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            event TEXT NOT NULL,
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX moments_by_dataset ON moments(dataset_id, id)",
        "ALTER TABLE versions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE annotations (
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            content BLOB NOT NULL,     -- hash of a row's content
            tags TEXT NOT NULL CHECK (json_valid(tags)),
            note TEXT NOT NULL,
            former INTEGER NOT NULL DEFAULT 0 CHECK (former IN (0, 1)),
            changed REAL NOT NULL,
            PRIMARY KEY (dataset_id, content)
        ) STRICT, WITHOUT ROWID""",
        "ALTER TABLE edits RENAME TO journal",
        """CREATE TABLE edits (
            id INTEGER PRIMARY KEY,
            step_id INTEGER NOT NULL REFERENCES steps(id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('replace', 'insert', 'delete')),
            row INTEGER NOT NULL CHECK (row >= 1),
            anchor BLOB,               -- hash of the row above an insertion
            after BLOB,                -- bytes: a row may hold invalid UTF-8
            before BLOB,
            CHECK ((kind = 'insert') = (before IS NULL)),
            CHECK ((kind = 'delete') = (after IS NULL))
        ) STRICT""",
        "CREATE INDEX edits_by_step ON edits(step_id, id)",
    )
    _journal_to_steps(db)
    db.execute("DROP TABLE journal")


def _journal_to_steps(db: Database) -> None:
    """The list of primitives and their inverses, as the tree of steps that it walks through."""
    parents: dict[int, int] = {0: 0}
    heads: dict[int, tuple[int, int, int]] = {}
    at: dict[int, int] = {}
    sql = "SELECT id, dataset_id, kind, row, reverts, saved, created FROM journal ORDER BY id"
    for edit, dataset, kind, row, reverts, saved, created in db.execute(sql).fetchall():
        head, tip, file = heads.get(dataset, (0, 0, 0))
        if reverts is None:
            db.execute(
                "INSERT INTO steps (id, dataset_id, parent, base, batch, label, row, rows, "
                "created) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
                [edit, dataset, head, head, edit, f"{kind} row {row}", row, created],
            )
            db.execute(
                "INSERT INTO edits (step_id, kind, row, after, before) "
                "SELECT id, kind, row, after, before FROM journal WHERE id = ?",
                [edit],
            )
            parents[edit] = head
            head = tip = edit
        else:
            head = parents.get(reverts, 0) if head == reverts else reverts
        heads[dataset] = (head, tip, head if saved else file)
        at[edit] = head
    for dataset, (head, tip, file) in heads.items():
        db.execute(
            "INSERT INTO heads (dataset_id, head, tip, file) VALUES (?, ?, ?, ?)",
            [dataset, head, tip, file],
        )
        db.execute(
            "INSERT INTO moments (dataset_id, head, epoch, event, created) "
            "VALUES (?, ?, 0, 'edit', 0)",
            [dataset, head],
        )
    for version, upto in db.execute("SELECT id, upto FROM versions").fetchall():
        db.execute("UPDATE versions SET upto = ? WHERE id = ?", [at.get(upto, 0), version])


@CATALOGUE(name="006-findings")
def _findings(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE finding_sets (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            source TEXT NOT NULL,
            key TEXT NOT NULL,
            moment INTEGER NOT NULL,   -- the dataset's last edit when the rows were looked at
            counts TEXT NOT NULL CHECK (json_valid(counts)),
            summary TEXT NOT NULL CHECK (json_valid(summary)),
            created REAL NOT NULL,
            finished REAL              -- NULL: still being written; nobody sees it yet
        ) STRICT""",
        "CREATE INDEX finding_sets_by_dataset ON finding_sets(dataset_id, source, id)",
        # In the order of the rows whatever the set, so that a page is one stretch of one tree.
        """CREATE TABLE findings (
            dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
            line INTEGER NOT NULL,
            set_id INTEGER NOT NULL,   -- no REFERENCES: it would want an index of its own
            n INTEGER NOT NULL,
            kind TEXT NOT NULL,
            level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
            detail TEXT NOT NULL,
            "group" TEXT,
            PRIMARY KEY (dataset_id, line, set_id, n)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX findings_by_kind ON findings(dataset_id, kind, line)",
        'CREATE INDEX findings_by_group ON findings(dataset_id, "group") WHERE "group" IS NOT NULL',
    )


@CATALOGUE(name="007-queue-and-forks")
def _queue(db: Database) -> None:
    statements(
        db,
        "ALTER TABLE runs ADD COLUMN place INTEGER",  # in the queue; NULL: does not wait
        "ALTER TABLE runs ADD COLUMN method TEXT NOT NULL DEFAULT 'sft'",
        "ALTER TABLE runs ADD COLUMN forked_step INTEGER",  # of the parent
    )


@CATALOGUE(name="008-answers")
def _answers(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE answers (
            key TEXT PRIMARY KEY,      -- of model, prompt and sampling: see engine.checks.asking
            text TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            stop TEXT NOT NULL,
            created REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
    )


@CATALOGUE(name="009-votes")
def _votes(db: Database) -> None:
    statements(
        db,
        """CREATE TABLE reviews (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            models TEXT NOT NULL CHECK (json_valid(models)),
            settings TEXT NOT NULL CHECK (json_valid(settings)),
            created REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE vote_items (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            review_id INTEGER REFERENCES reviews(id) ON DELETE CASCADE,
            chat_id INTEGER REFERENCES chats(id) ON DELETE SET NULL,
            turns TEXT NOT NULL CHECK (json_valid(turns)),
            answers TEXT NOT NULL CHECK (json_valid(answers)),   -- in the order shown
            sampling TEXT NOT NULL CHECK (json_valid(sampling)),
            created REAL NOT NULL
        ) STRICT""",
        "CREATE INDEX vote_items_by_review ON vote_items(review_id, id)",
        "CREATE INDEX vote_items_by_chat ON vote_items(chat_id, id)",
        """CREATE TABLE votes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            item_id INTEGER NOT NULL REFERENCES vote_items(id) ON DELETE CASCADE,
            verdict TEXT NOT NULL CHECK (verdict IN
                ('better', 'tie', 'bad', 'void', 'withdrawn')),
            best INTEGER,              -- the place of the better answer
            blind INTEGER NOT NULL CHECK (blind IN (0, 1)),
            note TEXT NOT NULL,
            created REAL NOT NULL,
            CHECK ((verdict = 'better') = (best IS NOT NULL))
        ) STRICT""",
        "CREATE INDEX votes_by_item ON votes(item_id, id)",
        """CREATE TABLE vote_rows (
            path TEXT NOT NULL,        -- of the dataset in which a vote became a row
            vote_id INTEGER NOT NULL REFERENCES votes(id) ON DELETE CASCADE,
            created REAL NOT NULL,
            PRIMARY KEY (path, vote_id)
        ) STRICT, WITHOUT ROWID""",
    )


@CATALOGUE(name="010-skipped")
def _skipped(db: Database) -> None:
    statements(
        db,
        "ALTER TABLE checks ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0",
    )
