-- A database with most of what a schema can hold; a restored copy must equal it.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lms_owner') THEN CREATE ROLE lms_owner NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lms reader') THEN CREATE ROLE "lms reader" NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lms_group') THEN CREATE ROLE lms_group NOLOGIN; END IF;
END $$;
GRANT lms_group TO "lms reader";
CREATE EXTENSION citext;
CREATE EXTENSION pgcrypto;
CREATE SCHEMA "Schöne Schule";
CREATE TYPE mood AS ENUM ('bored', 'awake', 'späť');
CREATE DOMAIN percent AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);

CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email citext UNIQUE NOT NULL,
  name text NOT NULL,
  secret bytea NOT NULL,
  settings jsonb NOT NULL DEFAULT '{}',
  raw json,
  tags text[] NOT NULL DEFAULT '{}',
  matrix int[][],
  feeling mood,
  score percent,
  balance money,
  created timestamptz NOT NULL,
  local_time timestamp,
  day date,
  lasting interval,
  ratio double precision,
  small real,
  range int4range,
  address inet,
  unique_id uuid,
  shout text GENERATED ALWAYS AS (upper(name)) STORED,
  dropped int
);
ALTER TABLE users DROP COLUMN dropped;
-- Columns whose names are those that a careless query would use itself.
CREATE TABLE x (x int, t text, "ROW" text, "weird ""name""; DROP TABLE users" text);
CREATE TABLE "Schöne Schule"."Kürs -- %s" ("größe €" int, "select" text, "from" text DEFAULT E'tab\tnew\nline\\');
CREATE TABLE no_columns ();
CREATE TABLE empty (id serial PRIMARY KEY);
CREATE UNLOGGED TABLE cache (k text, v text);
CREATE TABLE events (at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE TABLE parent (a int, b int);
CREATE TABLE child (own text) INHERITS (parent);
-- After a restore this column stands before the child's own: another physical order, the same content.
ALTER TABLE parent ADD COLUMN late int DEFAULT 7;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE SEQUENCE receipts INCREMENT BY -5 START WITH 1000 MINVALUE -1000000 MAXVALUE 1000;
CREATE SEQUENCE untouched;
CREATE VIEW adults AS SELECT id, name FROM users WHERE score > 50;
CREATE MATERIALIZED VIEW stale AS SELECT count(*) AS n FROM users;
CREATE FUNCTION double(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
CREATE TABLE computed (i int, d int GENERATED ALWAYS AS (double(i)) STORED, CHECK (double(i) < 1000000));

CREATE TABLE courses (code text PRIMARY KEY, lead bigint REFERENCES users ON DELETE SET NULL, part_of text REFERENCES courses);
-- Checked at the end of a transaction, so that it may be violated within.
CREATE TABLE enrolments (
  course text NOT NULL REFERENCES courses ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
  student bigint NOT NULL,
  at timestamptz
);
CREATE TABLE changes (of_table text NOT NULL, what text NOT NULL);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO public.changes VALUES (TG_TABLE_NAME, TG_OP); RETURN NEW;
END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON enrolments FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER off AFTER INSERT ON enrolments FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER always AFTER UPDATE OF at ON enrolments FOR EACH ROW WHEN (OLD.at < NEW.at) EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON enrolments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
ALTER TABLE enrolments DISABLE TRIGGER off;
ALTER TABLE enrolments ENABLE ALWAYS TRIGGER always;

INSERT INTO users (email, name, secret, settings, raw, tags, matrix, feeling, score, balance, created, local_time, day,
                   lasting, ratio, small, range, address, unique_id)
SELECT 'Person' || i || '@Example.org', 'Näme €' || i, digest(i::text, 'sha256'), jsonb_build_object('b', i, 'a', 1.10),
       '{"b": 1,  "a": 2, "b": 3}', ARRAY['a,b', NULL, '"quoted"', '{' || i], ARRAY[[1, 2], [3, i]], 'späť', i % 100,
       (i * 1.25)::numeric::money, '2025-03-30 01:30:00+01'::timestamptz + i * interval '17 min 0.000001 s',
       '2024-02-29 23:59:59.999999', '0044-03-15 BC', interval '1 year 2 mons -3 days 04:05:06.7' * i,
       0.1::float8 + i / 3.0::float8, 1.0 / i, int4range(i, i + 10), '2001:db8::1', md5(i::text)::uuid
FROM generate_series(1, 500) i;
INSERT INTO users (email, name, secret, created, ratio, lasting, day, local_time)
VALUES ('nan@x', 'Not a number', '\x00ff', 'infinity', 'NaN', '0', 'infinity', '-infinity'),
       ('zero@x', '', '', '-infinity', '-0', '-1 month', '0001-01-01', NULL);
INSERT INTO x SELECT i, 't', NULL, '' FROM generate_series(1, 50) i;
INSERT INTO x SELECT 1, 'duplicate', 'duplicate', 'duplicate' FROM generate_series(1, 4);
INSERT INTO "Schöne Schule"."Kürs -- %s" ("größe €") VALUES (1), (2), (NULL);
INSERT INTO no_columns SELECT FROM generate_series(1, 3);
INSERT INTO cache VALUES ('k', 'v');
INSERT INTO events SELECT '2025-12-31 20:00+00'::timestamptz + i * interval '1 hour', 'e' || i FROM generate_series(1, 40) i;
INSERT INTO parent (a, b) VALUES (1, 2);
INSERT INTO child (a, b, own) VALUES (3, 4, 'own');
INSERT INTO alembic_version VALUES ('ae1027a6acf');
INSERT INTO courses VALUES ('maths', 1, NULL), ('algebra', NULL, 'maths');
INSERT INTO enrolments SELECT 'algebra', i, now() FROM generate_series(1, 30) i;
INSERT INTO enrolments VALUES ('maths', 987654, NULL);
SET CONSTRAINTS ALL IMMEDIATE;
-- The last row, of nobody, is older than its key.
ALTER TABLE enrolments ADD CONSTRAINT enrolments_student_fkey FOREIGN KEY (student) REFERENCES users NOT VALID;
INSERT INTO computed (i) SELECT generate_series(1, 20);
SELECT nextval('receipts'), nextval('receipts');
SELECT lo_from_bytea(0, convert_to(repeat('diploma ', 5000), 'UTF8'));
SELECT lo_from_bytea(0, '\x00');
REFRESH MATERIALIZED VIEW stale;
INSERT INTO empty DEFAULT VALUES;
DELETE FROM empty;

ALTER TABLE users OWNER TO lms_owner;
GRANT SELECT ON users TO "lms reader";
ALTER TABLE x ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON x TO "lms reader" USING (x < 10);

-- Such a trigger would meet what a verification installs in its copy.
CREATE FUNCTION refuse_extension() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'no extensions here';
END $$;
CREATE EVENT TRIGGER no_extensions ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION refuse_extension();
CREATE EVENT TRIGGER asleep ON ddl_command_end EXECUTE FUNCTION refuse_extension();
ALTER EVENT TRIGGER asleep DISABLE;
