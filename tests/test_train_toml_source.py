"""Where the keys of a TOML file are written."""

import pytest

from edgellm.errors import ConfigError
from edgellm.train.toml_source import TomlSource

pytestmark = pytest.mark.train

TEXT = """\
# a comment
name = "x"
"with space" = 1
inline.deep = 2

[a]
key = 1
[ a . "b" ]
key = 2  # a.key is on another line
[[c]]
key = 3
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(TEXT)
    return TomlSource(path, "file")


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("name", 2),
        ("with space", 3),
        ("inline.deep", 4),
        ("a", 6),
        ("a.key", 7),
        ("a.b.key", 9),
        ("c.key", 11),
        ("a.none", 6),
        ("a.b.none", 8),
        ("none", None),
    ],
)
def test_line_of_a_field(source, field, line):
    assert source.line(field) == line


def test_errors_name_file_line_and_field(source):
    assert str(source.error("a.key", "is odd")) == f"{source.path}:7: a.key is odd"
    assert str(source.error("none", "is missing")) == f"{source.path}: none is missing"


def test_syntax_errors_name_the_line(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("a = 1\nb = \n")
    with pytest.raises(ConfigError, match=r"r.toml: not valid TOML: .*at line 2, column"):
        TomlSource(path, "file")


def test_not_text_and_no_file(tmp_path):
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"not valid TOML"):
        TomlSource(path, "file")
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"no such file: see docs"):
            TomlSource(missing, "file: see docs")
