CREATE TABLE users (
	id BLOB NOT NULL,
	version INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	name TEXT NOT NULL,
	email TEXT,
	age INTEGER,
	balance INTEGER NOT NULL,
	rate REAL NOT NULL,
	tags TEXT NOT NULL,
	extra TEXT NOT NULL,
	address TEXT,
	email__casefold TEXT /* casefold key of email, by Unicode … */,
	CONSTRAINT pk_users PRIMARY KEY (id),
	CONSTRAINT ck_users__id__163a87a2 CHECK (length(id) = 16),
	CONSTRAINT ck_users__created_at__541ff736 CHECK (created_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_users__updated_at__5a76a2af CHECK (updated_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_users__name__26370d3c CHECK (length(name) <= 80),
	CONSTRAINT ck_users__email__67efd96a CHECK (length(email) <= 100),
	CONSTRAINT ck_users__age__372b6ccb CHECK (age BETWEEN 0 AND 200),
	CONSTRAINT ck_users__balance__91f453c9 CHECK (balance BETWEEN -99999999999999 AND 99999999999999),
	CONSTRAINT ck_users__rate__b1ff7f90 CHECK (rate BETWEEN -1.7976931348623157e+308 AND 1.7976931348623157e+308),
	CONSTRAINT ck_users__tags__a18a6c42 CHECK (json_type(tags) = 'array'),
	CONSTRAINT ck_users__extra__e46a7e57 CHECK (json_type(extra) = 'object'),
	CONSTRAINT ck_users__address__6a0b876d CHECK (json_type(address) = 'object'),
	CONSTRAINT ck_users__email__casefold__bae03ddf_b59fe430 CHECK (length(email__casefold) <= 400),
	CONSTRAINT ck_users__size__67a9d04c CHECK (coalesce(length(CAST(address AS BLOB)), 0) + coalesce(length(CAST(extra AS BLOB)), 0) + coalesce(length(CAST(tags AS BLOB)), 0) <= 16777216)
)
 STRICT;

CREATE UNIQUE INDEX ux_users__name ON users (name);

CREATE UNIQUE INDEX ux_users__email__casefold_441e1ba3 ON users (email__casefold);

CREATE INDEX ix_users__age ON users (age, id);

CREATE TABLE posts (
	id BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	user_id BLOB NOT NULL,
	title TEXT NOT NULL,
	likes INTEGER NOT NULL,
	CONSTRAINT pk_posts PRIMARY KEY (id),
	CONSTRAINT ck_posts__id__163a87a2 CHECK (length(id) = 16),
	CONSTRAINT ck_posts__created_at__541ff736 CHECK (created_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_posts__updated_at__5a76a2af CHECK (updated_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_posts__user_id__87b363af CHECK (length(user_id) = 16),
	CONSTRAINT ck_posts__size__2c28286d CHECK (coalesce(length(CAST(title AS BLOB)), 0) <= 16777216),
	CONSTRAINT fk_posts__user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX ix_posts__user_id ON posts (user_id, id);

CREATE TABLE notes (
	id BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	user_id BLOB NOT NULL,
	post_id BLOB,
	rank INTEGER NOT NULL,
	CONSTRAINT pk_notes PRIMARY KEY (id),
	CONSTRAINT ck_notes__id__163a87a2 CHECK (length(id) = 16),
	CONSTRAINT ck_notes__created_at__541ff736 CHECK (created_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_notes__updated_at__5a76a2af CHECK (updated_at BETWEEN -62135596800000 AND 253402300799999),
	CONSTRAINT ck_notes__user_id__87b363af CHECK (length(user_id) = 16),
	CONSTRAINT ck_notes__post_id__996b5321 CHECK (length(post_id) = 16),
	CONSTRAINT fk_notes__user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE NO ACTION DEFERRABLE INITIALLY IMMEDIATE,
	CONSTRAINT fk_notes__post_id FOREIGN KEY(post_id) REFERENCES posts (id) ON DELETE SET NULL
)
 STRICT;

CREATE INDEX ix_notes__user_id__rank ON notes (user_id, rank, id);

CREATE INDEX ix_notes__post_id ON notes (post_id, id);

-- count(User.age == 3)
SELECT count(*) AS count_1 FROM users WHERE users.age = ?;

-- count(User.age != 3)
SELECT count(*) AS count_1 FROM users WHERE users.age != ? OR users.age IS NULL;

-- count(~(User.age <= 3))
SELECT count(*) AS count_1 FROM users WHERE users.age > ? OR users.age IS NULL;

-- count(User.email == None)
SELECT count(*) AS count_1 FROM users WHERE users.email IS NULL;

-- count(User.age.in_([1, 2, 3]))
SELECT count(*) AS count_1 FROM users WHERE users.age IN (?, ?, ?, ?);

-- count(User.age.not_in([1, 2, None]))
SELECT count(*) AS count_1 FROM users WHERE ((users.age NOT IN (?, ?)) OR users.age IS NULL) AND users.age IS NOT NULL;

-- count(User.age.in_([]))
SELECT count(*) AS count_1 FROM users WHERE 0 = 1;

-- count(User.name.starts_with('a'))
SELECT count(*) AS count_1 FROM users WHERE users.name >= ? AND users.name < ?;

-- count(~User.email.starts_with('a'))
SELECT count(*) AS count_1 FROM users WHERE users.email < ? OR users.email >= ? OR users.email IS NULL;

-- count(~User.email.contains('x'))
SELECT count(*) AS count_1 FROM users WHERE instr(users.email, ?) <= 0 OR users.email IS NULL;

-- count(User.email.equals_casefold('X'))
SELECT count(*) AS count_1 FROM users WHERE users.email__casefold = ?;

-- count(User.tags.has('a'))
SELECT count(*) AS count_1 FROM users WHERE EXISTS (SELECT 1 FROM json_each(users.tags) AS each_0 WHERE each_0.value = ?);

-- count(User.extra['k'] == 1)
SELECT count(*) AS count_1 FROM users WHERE CASE WHEN (json_type(users.extra, '$."k"') IN ('integer', 'real')) THEN json_extract(users.extra, '$."k"') END = ?;

-- count(User.extra['k'] != 'x')
SELECT count(*) AS count_1 FROM users WHERE CASE WHEN (json_type(users.extra, '$."k"') = 'text') THEN json_extract(users.extra, '$."k"') END != ? OR CASE WHEN (json_type(users.extra, '$."k"') = 'text') THEN json_extract(users.extra, '$."k"') END IS NULL;

-- count(User.extra['k'] == True)
SELECT count(*) AS count_1 FROM users WHERE CASE WHEN (json_type(users.extra, '$."k"') = 'true') THEN 1 WHEN (json_type(users.extra, '$."k"') = 'false') THEN 0 END = ?;

-- count(User.extra['k'] == None)
SELECT count(*) AS count_1 FROM users WHERE json_extract(users.extra, '$."k"') IS NULL;

-- count(via(User.address, Address.city) == 'x')
SELECT count(*) AS count_1 FROM users WHERE json_extract(users.address, '$."city"') = ?;

-- count(via(User.address, Address.floor) > 3)
SELECT count(*) AS count_1 FROM users WHERE json_extract(users.address, '$."floor"') > ?;

-- count(User.address == Address(city='x'))
SELECT count(*) AS count_1 FROM users WHERE users.address IS NOT NULL AND json_extract(users.address, '$."city"') = ? AND json_extract(users.address, '$."floor"') IS NULL;

-- count(any_related(Post.user_id, Post.title == 't'))
SELECT count(*) AS count_1 FROM users WHERE EXISTS (SELECT 1 FROM posts AS posts$1 WHERE posts$1.user_id = users.id AND posts$1.title = ?);

-- count(~any_related(Post.user_id))
SELECT count(*) AS count_1 FROM users WHERE NOT (EXISTS (SELECT 1 FROM posts AS posts$1 WHERE posts$1.user_id = users.id));

-- count((User.age > 3) & ~((User.name == 'a') | User.email.is_null()))
SELECT count(*) AS count_1 FROM users WHERE users.age > ? AND users.name != ? AND users.email IS NOT NULL;

-- count(via(…) == 'x')
SELECT count(*) AS count_1 FROM notes LEFT OUTER JOIN posts AS posts$1 ON notes.post_id = posts$1.id LEFT OUTER JOIN users AS users$2 ON posts$1.user_id = users$2.id WHERE users$2.name = ?;

-- exists(…)
SELECT EXISTS (SELECT 1 FROM posts WHERE posts.likes > ?) AS anon_1;

-- counts(User, Post)
SELECT (SELECT count(*) AS count_1 FROM users) AS anon_1, (SELECT count(*) AS count_2 FROM posts) AS anon_2;

-- get(id)
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE posts.id = ?;

-- find(into=PostLine)
SELECT posts.title, users$1.name, posts.likes, posts.id FROM posts JOIN users AS users$1 ON posts.user_id = users$1.id WHERE posts.likes >= ? ORDER BY posts.likes DESC, posts.id DESC LIMIT ? OFFSET ?;

-- related(Post, …)
WITH _dbkit_parents(id) AS (VALUES (?), (?)) SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes, _dbkit_parents.id AS id_1 FROM _dbkit_parents JOIN posts ON posts.id IN (SELECT posts$1.id FROM posts AS posts$1 WHERE posts$1.user_id = _dbkit_parents.id AND posts$1.likes > ? ORDER BY posts$1.likes DESC, posts$1.id DESC LIMIT 2 OFFSET ?) ORDER BY posts.likes DESC, posts.id DESC;

-- page(after=), not null
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE (posts.likes, posts.id) < (?, ?) ORDER BY posts.likes DESC, posts.id DESC LIMIT ? OFFSET ?;

-- page(after=), nullable
SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id = ? AND notes.rank = ? AND notes.id < ? UNION ALL SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id = ? AND notes.rank < ? UNION ALL SELECT notes.id AS c0, notes.created_at AS c1, notes.updated_at AS c2, notes.user_id AS c3, notes.post_id AS c4, notes.rank AS c5 FROM notes WHERE notes.post_id > ? ORDER BY c4, c5 DESC, c0 DESC LIMIT ? OFFSET ?;

-- page(after=), unique
SELECT posts.id, posts.created_at, posts.updated_at, posts.user_id, posts.title, posts.likes FROM posts WHERE posts.id < ? ORDER BY posts.id DESC LIMIT ? OFFSET ?;

-- group(…)
SELECT users$1.name, count(*) AS count_1, coalesce(sum(posts.likes >> 32) + (sum(posts.likes & 4294967295) >> 32), 0) AS coalesce_1, coalesce(sum(posts.likes & 4294967295) & 4294967295, 0) AS coalesce_2, coalesce(sum(posts.likes >> 32) + (sum(posts.likes & 4294967295) >> 32), 0) AS coalesce_3, coalesce(sum(posts.likes & 4294967295) & 4294967295, 0) AS coalesce_4, count(posts.likes) AS count_2 FROM posts JOIN users AS users$1 ON posts.user_id = users$1.id GROUP BY users$1.name HAVING (coalesce(sum(posts.likes >> 32) + (sum(posts.likes & 4294967295) >> 32), 0), coalesce(sum(posts.likes & 4294967295) & 4294967295, 0)) > (?, ?) ORDER BY coalesce(sum(posts.likes >> 32) + (sum(posts.likes & 4294967295) >> 32), 0) DESC, coalesce(sum(posts.likes & 4294967295) & 4294967295, 0) DESC, users$1.name LIMIT ? OFFSET ?;

-- group(…) by a reference and its parent
SELECT groups$.user_id, users$1.name, groups$.figure$0$0 FROM (SELECT posts.user_id AS user_id, count(*) AS figure$0$0 FROM posts WHERE posts.likes > ? GROUP BY posts.user_id) AS groups$ JOIN users AS users$1 ON groups$.user_id = users$1.id WHERE groups$.figure$0$0 > ? ORDER BY users$1.name, groups$.user_id LIMIT ? OFFSET ?;

-- insert
INSERT INTO posts (id, created_at, updated_at, user_id, title, likes) VALUES (?, ?, ?, ?, ?, ?);

-- insert many
COPY posts (id, created_at, updated_at, user_id, title, likes) FROM STDIN (FORMAT BINARY);

-- upsert(on=User.name)
INSERT INTO users (id, version, created_at, updated_at, name, email, age, balance, rate, tags, extra, address, email__casefold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET version = (users.version + 1), updated_at = excluded.updated_at, name = excluded.name, email = excluded.email, age = excluded.age, balance = excluded.balance, rate = excluded.rate, tags = excluded.tags, extra = excluded.extra, address = excluded.address, email__casefold = excluded.email__casefold RETURNING id, version, created_at, updated_at, name, email, age, balance, rate, tags, extra, address;

-- update(id, …, where=)
UPDATE users SET version=CASE WHEN (typeof((users.version + CAST(? AS INTEGER))) = 'real') THEN 'out of range' ELSE (users.version + CAST(? AS INTEGER)) END, updated_at=?, balance=CASE WHEN (typeof((users.balance * CAST(? AS INTEGER))) = 'real' OR typeof(((users.balance * CAST(? AS INTEGER)) + users.balance)) = 'real') THEN 'out of range' ELSE ((users.balance * CAST(? AS INTEGER)) + users.balance) END, rate=CASE WHEN (abs((users.rate * CAST(users.version AS REAL))) >= 9e999) THEN 'out of range' ELSE (users.rate * CAST(users.version AS REAL)) + 0.0 END, tags=json_insert(coalesce(users.tags, '[]'), '$[#]', json(?)) WHERE users.id = ? AND users.balance >= ? RETURNING id, version, created_at, updated_at, name, email, age, balance, rate, tags, extra, address;

-- update(id, tags.remove)
UPDATE users SET version=CASE WHEN (typeof((users.version + CAST(? AS INTEGER))) = 'real') THEN 'out of range' ELSE (users.version + CAST(? AS INTEGER)) END, updated_at=?, tags=CASE WHEN (users.tags IS NOT NULL) THEN dbkit_remove(users.tags, ?) END WHERE users.id = ? RETURNING id, version, created_at, updated_at, name, email, age, balance, rate, tags, extra, address;

-- update_many(via(…) != 'x')
UPDATE posts SET updated_at=?, likes=CASE WHEN (typeof((posts.likes + CAST(? AS INTEGER))) = 'real') THEN 'out of range' ELSE (posts.likes + CAST(? AS INTEGER)) END WHERE posts.id IN (SELECT posts$2.id FROM posts AS posts$2 JOIN users AS users$3 ON posts$2.user_id = users$3.id WHERE users$3.name != ? LIMIT 10001 OFFSET ?);

-- delete(id)
DELETE FROM notes WHERE notes.id = ?;

-- delete(id), with children
DELETE FROM users WHERE users.id = ?;

-- delete_many
DELETE FROM notes WHERE notes.id IN (SELECT notes$1.id FROM notes AS notes$1 WHERE 1 = 1 LIMIT 10001 OFFSET ?);

-- claim
UPDATE notes SET updated_at=?, rank=? WHERE notes.id IN (SELECT free.id FROM notes AS free WHERE free.rank > ? ORDER BY free.rank, free.id LIMIT ? OFFSET ?) RETURNING id, created_at, updated_at, user_id, post_id, rank;
