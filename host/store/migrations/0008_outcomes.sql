-- Both SQLite and PostgreSQL read this file.

-- The letter whose replay failed again and led to this one.
ALTER TABLE letters ADD COLUMN again_of TEXT;
CREATE INDEX letters_again ON letters (again_of) WHERE again_of IS NOT NULL;
CREATE INDEX letters_edited ON letters (edited_from) WHERE edited_from IS NOT NULL;

-- What the details of a failure's letters have in common; empty where they have nothing, or were not told apart.
ALTER TABLE failure_groups ADD COLUMN cause TEXT NOT NULL DEFAULT '';
-- The id that the failure would have without a cause: that of its code, plugin and digest, which are too long for an
-- index. Nothing for failures of before.
ALTER TABLE failure_groups ADD COLUMN kind TEXT NOT NULL DEFAULT '';
CREATE INDEX failure_groups_by_kind ON failure_groups (kind);
