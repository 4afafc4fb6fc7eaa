"""A post's text becomes its title, which is the first line, and its body."""

from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration

LONGEST = 300


class Post(Entity, name="posts"):
    text: Mapped[str]
    title: Mapped[str] = field(max_length=LONGEST)
    body: Mapped[str] = field(default="")


def split(post: Post) -> Post:
    line, _, rest = post.text.partition("\n")
    # Of a line that is too long for a title nothing is lost: the body has it whole.
    return post.evolve(title=line[:LONGEST], body=rest if len(line) <= LONGEST else post.text)


def join(post: Post) -> Post:
    if len(post.title) == LONGEST and post.body.startswith(post.title):
        return post.evolve(text=post.body)
    return post.evolve(text=f"{post.title}\n{post.body}" if post.body else post.title)


def up(m: Migration) -> None:
    m.add_field(Post.title, default="")
    m.add_field(Post.body)
    m.update_each(Post, split)
    m.drop_field(Post.text)


def down(m: Migration) -> None:
    m.add_field(Post.text, default="")
    m.update_each(Post, join)
    m.drop_field(Post.body)
    m.drop_field(Post.title)
