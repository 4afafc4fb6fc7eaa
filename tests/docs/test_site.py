"""The site builds without a warning, and its pages need nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import pages


@pytest.mark.slow
def test_the_site_builds_and_stands_alone() -> None:
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [zensical, "build", "--clean", "--strict"],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = pages.ROOT / "site"
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    for page in pages.PAGES:
        if page.startswith("docs/"):
            name = page.removeprefix("docs/").removesuffix(".md")
            assert ("index.html" if name == "index" else f"{name}/index.html") in built
    for name in built:
        text = (site / name).read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|link|img)\b[^>]*(?:src|href)="https?://', text), name
