CREATE TABLE users (
	id uuid NOT NULL,
	version bigint NOT NULL,
	created_at timestamp(3) with time zone NOT NULL,
	updated_at timestamp(3) with time zone NOT NULL,
	name text COLLATE "C" NOT NULL,
	email text COLLATE "C",
	age bigint,
	balance numeric(14,2) NOT NULL,
	rate double precision NOT NULL,
	tags jsonb NOT NULL,
	extra jsonb NOT NULL,
	address jsonb,
	email__casefold text COLLATE "C",
	CONSTRAINT pk_users PRIMARY KEY (id),
	CONSTRAINT ck_users__name__cc71642e CHECK (char_length(name) <= 80),
	CONSTRAINT ck_users__email__d34ad51c CHECK (char_length(email) <= 100),
	CONSTRAINT ck_users__age__372b6ccb CHECK (age BETWEEN 0 AND 200),
	CONSTRAINT ck_users__rate__99ab8212 CHECK (rate BETWEEN '-1.7976931348623157e+308'::float8 AND '1.7976931348623157e+308'::float8),
	CONSTRAINT ck_users__tags__443b1d48 CHECK (jsonb_typeof(tags) = 'array'),
	CONSTRAINT ck_users__extra__abd3bd29 CHECK (jsonb_typeof(extra) = 'object'),
	CONSTRAINT ck_users__address__aec091e0 CHECK (jsonb_typeof(address) = 'object'),
	CONSTRAINT ck_users__email__casefold__c9ab78a3_a057826a CHECK (char_length(email__casefold) <= 400),
	CONSTRAINT ck_users__size__b54434c3 CHECK (coalesce(pg_column_size(address), 0) + coalesce(pg_column_size(extra), 0) + coalesce(pg_column_size(tags), 0) <= 16777216)
);

COMMENT ON COLUMN users.email__casefold IS 'casefold key of email, by Unicode …';

CREATE UNIQUE INDEX ux_users__name ON users (name) WHERE 1 = 1;

CREATE UNIQUE INDEX ux_users__email__casefold_441e1ba3 ON users (email__casefold ASC NULLS FIRST) WHERE 1 = 1;

CREATE INDEX ix_users__age ON users (age ASC NULLS FIRST, id);

CREATE TABLE posts (
	id uuid NOT NULL,
	created_at timestamp(3) with time zone NOT NULL,
	updated_at timestamp(3) with time zone NOT NULL,
	user_id uuid NOT NULL,
	title text COLLATE "C" NOT NULL,
	likes bigint NOT NULL,
	CONSTRAINT pk_posts PRIMARY KEY (id),
	CONSTRAINT ck_posts__size__06d1d4e4 CHECK (coalesce(octet_length(title), 0) <= 16777216)
);

CREATE INDEX ix_posts__user_id ON posts (user_id, id);

ALTER TABLE posts ADD CONSTRAINT fk_posts__user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE;

CREATE TABLE notes (
	id uuid NOT NULL,
	created_at timestamp(3) with time zone NOT NULL,
	updated_at timestamp(3) with time zone NOT NULL,
	user_id uuid NOT NULL,
	post_id uuid,
	rank bigint NOT NULL,
	CONSTRAINT pk_notes PRIMARY KEY (id)
);

CREATE INDEX ix_notes__user_id__rank ON notes (user_id, rank, id);

CREATE INDEX ix_notes__post_id ON notes (post_id ASC NULLS FIRST, id);

ALTER TABLE notes ADD CONSTRAINT fk_notes__user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE NO ACTION DEFERRABLE INITIALLY IMMEDIATE;

ALTER TABLE notes ADD CONSTRAINT fk_notes__post_id FOREIGN KEY(post_id) REFERENCES posts (id) ON DELETE SET NULL;

-- count(User.age == 3)
SELECT count(*) AS count_1 FROM users WHERE users.age = %s;

-- count(User.age != 3)
SELECT count(*) AS count_1 FROM users WHERE users.age != %s OR users.age IS NULL;

-- count(~(User.age <= 3))
SELECT count(*) AS count_1 FROM users WHERE users.age > %s OR users.age IS NULL;

-- count(User.email == None)
SELECT count(*) AS count_1 FROM users WHERE users.email IS NULL;

-- count(User.age.in_([1, 2, 3]))
SELECT count(*) AS count_1 FROM users WHERE users.age = any(CAST(%s AS int8[]));

-- count(User.age.not_in([1, 2, None]))
SELECT count(*) AS count_1 FROM users WHERE (users.age != all(CAST(%s AS int8[])) OR users.age IS NULL) AND users.age IS NOT NULL;

-- count(User.age.in_([]))
SELECT count(*) AS count_1 FROM users WHERE false;

-- count(User.name.starts_with('a'))
SELECT count(*) AS count_1 FROM users WHERE users.name >= %s AND users.name < %s;

-- count(~User.email.starts_with('a'))
SELECT count(*) AS count_1 FROM users WHERE users.email < %s OR users.email >= %s OR users.email IS NULL;

-- count(~User.email.contains('x'))
SELECT count(*) AS count_1 FROM users WHERE strpos(users.email, %s) <= 0 OR users.email IS NULL;

-- count(User.email.equals_casefold('X'))
SELECT count(*) AS count_1 FROM users WHERE users.email__casefold = %s;

-- count(User.tags.has('a'))
SELECT count(*) AS count_1 FROM users WHERE coalesce(users.tags @> CAST(%s AS jsonb), false);

-- count(User.extra['k'] == 1)
SELECT count(*) AS count_1 FROM users WHERE CASE WHEN (jsonb_typeof((users.extra #> '{k}')) = 'number') THEN CAST((users.extra #>> '{k}') AS numeric) END = %s;

-- count(User.extra['k'] != 'x')
SELECT count(*) AS count_1 FROM users WHERE ((CASE WHEN (jsonb_typeof((users.extra #> '{k}')) = 'string') THEN (users.extra #>> '{k}') END) COLLATE "C") != %s OR ((CASE WHEN (jsonb_typeof((users.extra #> '{k}')) = 'string') THEN (users.extra #>> '{k}') END) COLLATE "C") IS NULL;

-- count(User.extra['k'] == True)
SELECT count(*) AS count_1 FROM users WHERE CASE WHEN (jsonb_typeof((users.extra #> '{k}')) = 'boolean') THEN CAST((users.extra #>> '{k}') AS boolean) END = %s;

-- count(User.extra['k'] == None)
SELECT count(*) AS count_1 FROM users WHERE (users.extra #>> '{k}') IS NULL;

-- count(via(User.address, Address.city) == 'x')
SELECT count(*) AS count_1 FROM users WHERE ((users.address #>> '{city}') COLLATE "C") = %s;

-- count(via(User.address, Address.floor) > 3)
SELECT count(*) AS count_1 FROM users WHERE CAST((users.address #>> '{floor}') AS bigint) > %s;

-- count(User.address == Address(city='x'))
SELECT count(*) AS count_1 FROM users WHERE users.address IS NOT NULL AND ((users.address #>> '{city}') COLLATE "C") = %s AND (users.address #>> '{floor}') IS NULL;

-- count(any_related(Post.user_id, Post.title == 't'))
SELECT count(*) AS count_1 FROM users WHERE EXISTS (SELECT 1 FROM posts AS posts$1 WHERE posts$1.user_id = users.id AND posts$1.title = %s);

-- count(~any_related(Post.user_id))
SELECT count(*) AS count_1 FROM users WHERE NOT (EXISTS (SELECT 1 FROM posts AS posts$1 WHERE posts$1.user_id = users.id));

-- count((User.age > 3) & ~((User.name == 'a') | User.email.is_null()))
SELECT count(*) AS count_1 FROM users WHERE users.age > %s AND users.name != %s AND users.email IS NOT NULL;

-- count(via(…) == 'x')
SELECT count(*) AS count_1 FROM notes LEFT OUTER JOIN posts AS posts$1 ON notes.post_id = posts$1.id LEFT OUTER JOIN users AS users$2 ON posts$1.user_id = users$2.id WHERE users$2.name = %s;

-- exists(…)
SELECT EXISTS (SELECT 1 FROM posts WHERE posts.likes > %s) AS anon_1;

-- counts(User, Post)
SELECT (SELECT count(*) AS count_1 FROM users) AS anon_1, (SELECT count(*) AS count_2 FROM posts) AS anon_2;

-- get(id)
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE posts.id = %s;

-- find(into=PostLine)
SELECT posts.title, users$1.name, posts.likes, posts.id FROM posts JOIN users AS users$1 ON posts.user_id = users$1.id WHERE posts.likes >= %s ORDER BY posts.likes DESC, posts.id DESC LIMIT %s OFFSET %s;

-- related(Post, …)
SELECT children.c0, children.c1, children.c2, children.c3, children.c4, children.c5, anon_1.id FROM unnest(CAST(%s AS uuid[])) AS anon_1(id) JOIN LATERAL (SELECT child.id AS c0, child.created_at AS c1, child.updated_at AS c2, child.user_id AS c3, child.title AS c4, child.likes AS c5 FROM posts AS child WHERE child.user_id = anon_1.id AND child.likes > %s ORDER BY child.likes DESC, child.id DESC LIMIT 2) AS children ON true ORDER BY children.c5 DESC, children.c0 DESC;

-- page(after=), not null
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE (posts.likes, posts.id) < (%s, %s) ORDER BY posts.likes DESC, posts.id DESC LIMIT %s;

-- page(after=), nullable
SELECT anon_1.c0, anon_1.c1, anon_1.c2, anon_1.c3, anon_1.c4, anon_1.c5 FROM (SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id = %s AND notes.rank = %s AND notes.id < %s ORDER BY notes.post_id ASC NULLS FIRST, notes.rank DESC, notes.id DESC LIMIT %s) AS anon_1 UNION ALL SELECT anon_2.c0, anon_2.c1, anon_2.c2, anon_2.c3, anon_2.c4, anon_2.c5 FROM (SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id = %s AND notes.rank < %s ORDER BY notes.post_id ASC NULLS FIRST, notes.rank DESC, notes.id DESC LIMIT %s) AS anon_2 UNION ALL SELECT anon_3.c0, anon_3.c1, anon_3.c2, anon_3.c3, anon_3.c4, anon_3.c5 FROM (SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id > %s ORDER BY notes.post_id ASC NULLS FIRST, notes.rank DESC, notes.id DESC LIMIT %s) AS anon_3 ORDER BY c4 ASC NULLS FIRST, c5 DESC, c0 DESC LIMIT %s;

-- page(after=), unique
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE posts.id < %s ORDER BY posts.id DESC LIMIT %s;

-- group(…)
SELECT users$1.name, count(*) AS count_1, CAST(coalesce(sum(posts.likes), 0) AS numeric) AS coalesce_1, CAST(coalesce(sum(posts.likes), 0) AS numeric) AS coalesce_2, count(posts.likes) AS count_2 FROM posts JOIN users AS users$1 ON posts.user_id = users$1.id GROUP BY users$1.name HAVING CAST(coalesce(sum(posts.likes), 0) AS numeric) > %s ORDER BY CAST(coalesce(sum(posts.likes), 0) AS numeric) DESC, users$1.name LIMIT %s;

-- group(…) by a reference and its parent
SELECT groups$.user_id, users$1.name, groups$.figure$0$0 FROM (SELECT posts.user_id AS user_id, count(*) AS figure$0$0 FROM posts WHERE posts.likes > %s GROUP BY posts.user_id) AS groups$ JOIN users AS users$1 ON groups$.user_id = users$1.id WHERE groups$.figure$0$0 > %s ORDER BY users$1.name, groups$.user_id LIMIT %s;

-- insert
INSERT INTO posts (id, created_at, updated_at, user_id, title, likes) VALUES (%s, %s, %s, %s, %s, %s);

-- insert many
COPY posts (id, created_at, updated_at, user_id, title, likes) FROM STDIN (FORMAT BINARY);

-- upsert(on=User.name)
INSERT INTO users (id, version, created_at, updated_at, name, email, age, balance, rate, tags, extra, address, email__casefold) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET version = (users.version + 1), updated_at = excluded.updated_at, name = excluded.name, email = excluded.email, age = excluded.age, balance = excluded.balance, rate = excluded.rate, tags = excluded.tags, extra = excluded.extra, address = excluded.address, email__casefold = excluded.email__casefold RETURNING users.id, users.version, users.created_at, users.updated_at, users.name, users.email, users.age, users.balance, users.rate, users.tags, users.extra, users.address;

-- update(id, …, where=)
UPDATE users SET version=(users.version + CAST(%s AS bigint)), updated_at=%s, balance=(CAST(((CAST(users.balance * 100 AS bigint) * CAST(%s AS bigint)) + CAST(users.balance * 100 AS bigint)) AS numeric) * 0.01), rate=(CASE WHEN (abs(CAST(users.rate AS numeric) * CAST(CAST(users.version AS double precision) AS numeric)) <= '2.4703282292063e-324'::numeric) THEN '0'::float8 ELSE (users.rate * CAST(users.version AS double precision)) END + '0'::float8), tags=(coalesce(users.tags, '[]'::jsonb) || CAST(%s AS jsonb)) WHERE users.id = %s AND users.balance >= %s RETURNING users.id, users.version, users.created_at, users.updated_at, users.name, users.email, users.age, users.balance, users.rate, users.tags, users.extra, users.address;

-- update(id, tags.remove)
UPDATE users SET version=(users.version + CAST(%s AS bigint)), updated_at=%s, tags=CASE WHEN (users.tags IS NOT NULL) THEN (SELECT coalesce(jsonb_agg(anon_1.value ORDER BY anon_1.place), '[]'::jsonb) AS coalesce_1 FROM jsonb_array_elements(users.tags) WITH ORDINALITY AS anon_1(value, place) WHERE anon_1.value != CAST(%s AS jsonb)) END WHERE users.id = %s RETURNING users.id, users.version, users.created_at, users.updated_at, users.name, users.email, users.age, users.balance, users.rate, users.tags, users.extra, users.address;

-- update_many(via(…) != 'x')
WITH _dbkit_total AS (SELECT count(*) AS n FROM (SELECT posts.id AS id FROM posts WHERE NOT (EXISTS (SELECT 1 FROM users AS users$1 WHERE posts.user_id = users$1.id AND users$1.name = %s)) LIMIT 10001) AS touched), _dbkit_written AS (UPDATE posts SET updated_at=%s, likes=(posts.likes + CAST(%s AS bigint)) WHERE NOT (EXISTS (SELECT 1 FROM users AS users$1 WHERE posts.user_id = users$1.id AND users$1.name = %s)) AND (SELECT _dbkit_total.n FROM _dbkit_total) <= 10000 RETURNING 1 AS one) SELECT (SELECT _dbkit_total.n FROM _dbkit_total) AS anon_1, (SELECT count(*) AS count_1 FROM _dbkit_written) AS anon_2;

-- delete(id)
DELETE FROM notes WHERE notes.id = %s;

-- delete(id), with children
WITH RECURSIVE _dbkit_doomed(entity, nulled, u) AS (SELECT 0 AS entity, false AS nulled, CAST(first.id AS uuid) AS u FROM (SELECT users.id AS id FROM users WHERE users.id = %s LIMIT 10001) AS first UNION SELECT following.entity AS entity, following.nulled AS nulled, following.u AS u FROM _dbkit_doomed JOIN LATERAL (SELECT 1 AS entity, false AS nulled, CAST(posts$1.id AS uuid) AS u FROM posts AS posts$1 WHERE _dbkit_doomed.entity = 0 AND _dbkit_doomed.nulled = false AND posts$1.user_id = _dbkit_doomed.u UNION ALL SELECT 2 AS entity, true AS nulled, CAST(notes$2.id AS uuid) AS u FROM notes AS notes$2 WHERE _dbkit_doomed.entity = 1 AND _dbkit_doomed.nulled = false AND notes$2.post_id = _dbkit_doomed.u) AS following ON true), _dbkit_total AS (SELECT count(*) AS n FROM (SELECT DISTINCT _dbkit_doomed.entity AS entity, _dbkit_doomed.u AS u FROM _dbkit_doomed LIMIT 10001) AS touched), _dbkit_written AS (DELETE FROM users WHERE users.id = %s AND (SELECT _dbkit_total.n FROM _dbkit_total) <= 10000 RETURNING 1 AS one) SELECT (SELECT _dbkit_total.n FROM _dbkit_total) AS anon_1, (SELECT count(*) AS count_1 FROM _dbkit_written) AS anon_2;

-- delete_many
WITH _dbkit_total AS (SELECT count(*) AS n FROM (SELECT notes.id AS id FROM notes WHERE true LIMIT 10001) AS touched), _dbkit_written AS (DELETE FROM notes WHERE (SELECT _dbkit_total.n FROM _dbkit_total) <= 10000 RETURNING 1 AS one) SELECT (SELECT _dbkit_total.n FROM _dbkit_total) AS anon_1, (SELECT count(*) AS count_1 FROM _dbkit_written) AS anon_2;

-- claim
WITH _dbkit_picked AS MATERIALIZED (SELECT free.id AS id, free.rank AS k0, free.id AS k1 FROM notes AS free WHERE free.rank > %s ORDER BY free.rank, free.id LIMIT %s FOR UPDATE SKIP LOCKED), _dbkit_written AS (UPDATE notes SET updated_at=%s, rank=%s FROM _dbkit_picked WHERE notes.id = _dbkit_picked.id RETURNING notes.id, notes.created_at, notes.updated_at, notes.user_id, notes.post_id, notes.rank) SELECT _dbkit_written.id, _dbkit_written.created_at, _dbkit_written.updated_at, _dbkit_written.user_id, _dbkit_written.post_id, _dbkit_written.rank FROM _dbkit_written JOIN _dbkit_picked ON _dbkit_written.id = _dbkit_picked.id ORDER BY _dbkit_picked.k0, _dbkit_picked.k1;
