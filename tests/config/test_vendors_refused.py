"""What is said to a wrong file, to the letter; and that no key is in it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.config.file import MAX_FILE_BYTES
from rxlapce.config.sources import load_provider_configs
from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.testing.thoroughness import examples

KEY = "sk-test-0123456789abcdef"
ENVIRON = {"EMPTY": " ", "TWO_WORDS": "two words"}
GROQ = "    base_url: https://api.groq.com/openai/v1\n"
#: Of which a text is put together that is nearly a file of vendors.
PIECES = ("providers", ":", " ", "\n", "  ", "groq", "key", "- ", "&a", "*a", "{", "}", "[", "]", "!!int", "'", "<<")


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "v.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def refused(tmp_path: Path, text: str) -> str:
    """What is said to the file, without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        load_provider_configs(ENVIRON, file_with(tmp_path, text))
    return str(caught.value).replace(f"{tmp_path}/", "")


#: What the file says -> what is said to it, to the letter.
WRONG = {
    "an unknown option, with the nearest right one": (
        f"providers:\n  groq:\n{GROQ}    max_token_field: max_tokens\n",
        (
            "v.yaml:4:5: providers.groq: unknown name 'max_token_field'; known: base_url, key, keys, apis, "
            "default_model, headers, models_path, health_path, max_tokens_field, "
        ),
        "; did you mean max_tokens_field?",
    ),
    "an unknown section": (
        "provider: {}\n",
        "v.yaml:1:1: unknown name 'provider'; known: providers",
        "; did you mean providers?",
    ),
    "a value that is no choice": (
        f"providers:\n  groq:\n{GROQ}    max_tokens_field: max_token\n",
        (
            "v.yaml:4:23: providers.groq.max_tokens_field: expected max_completion_tokens or max_tokens, "
            "got 'max_token'; did you mean max_tokens?"
        ),
        "",
    ),
    "a doubled option": (
        f"providers:\n  groq:\n{GROQ}{GROQ}",
        "v.yaml:4:5: providers.groq: 'base_url' stands here a second time; the first is in line 3",
        "",
    ),
    "a doubled vendor": (
        f"providers:\n  groq:\n{GROQ}  groq:\n{GROQ}",
        "v.yaml:4:3: providers: 'groq' stands here a second time; the first is in line 2",
        "",
    ),
    "a name that YAML reads as false": (
        f"providers:\n  no:\n{GROQ}",
        (
            "v.yaml:2:3: providers: expected a name, got no, which YAML reads as true or false: "
            "put it in quotes if it is a text"
        ),
        "",
    ),
    "a name that YAML reads as a number": (
        f"providers:\n  1:\n{GROQ}",
        (
            "v.yaml:2:3: providers: expected a name, got 1, which YAML reads as a number: "
            "put it in quotes if it is a text"
        ),
        "",
    ),
    "a header that YAML reads as true": (
        f"providers:\n  groq:\n{GROQ}    headers: {{X-On: on}}\n",
        (
            "v.yaml:4:21: providers.groq.headers.X-On: expected a text, got on, which YAML reads as true or false: "
            "put it in quotes if it is a text"
        ),
        "",
    ),
    "a model that YAML reads as a number": (
        f"providers:\n  groq:\n{GROQ}    default_model: 1_000\n",
        (
            "v.yaml:4:20: providers.groq.default_model: expected a model's name, got 1_000, which YAML reads as a "
            "number: put it in quotes if it is a text"
        ),
        "",
    ),
    "a flag in words of YAML 1.1": (
        f"providers:\n  groq:\n{GROQ}    top_k: yes\n",
        "v.yaml:4:12: providers.groq.top_k: expected true or false, got 'yes'",
        "",
    ),
    "a flag in quotes": (
        f'providers:\n  groq:\n{GROQ}    top_k: "true"\n',
        "v.yaml:4:12: providers.groq.top_k: expected true or false, got 'true'",
        "",
    ),
    "nothing where an option's value should be": (
        f"providers:\n  groq:\n{GROQ}    reasoning:\n",
        "v.yaml:4:15: providers.groq.reasoning: expected effort or openrouter or null, got nothing",
        "",
    ),
    "the word null in quotes": (
        f'providers:\n  groq:\n{GROQ}    reasoning: "null"\n',
        "v.yaml:4:16: providers.groq.reasoning: expected effort or openrouter or null, got 'null'",
        "",
    ),
    "no base URL": (
        "providers:\n  groq: {}\n",
        "v.yaml:2:9: providers.groq: base_url is missing, such as base_url: https://api.groq.com/openai/v1",
        "",
    ),
    "a base URL that is none": (
        "providers:\n  groq:\n    base_url: api.groq.com\n",
        (
            "v.yaml:3:15: providers.groq.base_url: expected an http or https URL such as http://127.0.0.1:8080/v1, "
            "got 'api.groq.com'"
        ),
        "",
    ),
    "a base URL that ends its line": (
        'providers:\n  groq:\n    base_url: "http://h/v1\\r\\nX-Other: 1"\n',
        (
            "v.yaml:3:15: providers.groq.base_url: a URL holds no blanks, line ends and non-ASCII characters: "
            "percent-encode them"
        ),
        "",
    ),
    "a path that ends its line": (
        f'providers:\n  groq:\n{GROQ}    models_path: "/models\\r\\nX-Other: 1"\n',
        "v.yaml:4:18: providers.groq.models_path: expected a path such as /models or null, got ",
        "'/models\\r\\nX-Other: 1'",
    ),
    "a path with a blank": (
        f"providers:\n  groq:\n{GROQ}    health_path: /a b\n",
        "v.yaml:4:18: providers.groq.health_path: expected a path such as /models, got '/a b'",
        "",
    ),
    "a list in place of a vendor": (
        "providers:\n  groq: [1]\n",
        "v.yaml:2:9: providers.groq: expected a mapping (name: value), got a list",
        "",
    ),
    "vendors as a list": (
        "providers:\n  - groq\n",
        "v.yaml:2:3: providers: expected a mapping (name: value), got a list",
        "",
    ),
    "no vendor at all": (
        "providers:\n",
        "v.yaml:1:11: providers: expected a mapping (name: value), got nothing",
        "",
    ),
    "an API that there is not": (
        f"providers:\n  groq:\n{GROQ}    apis: [chat_completion]\n",
        (
            "v.yaml:4:12: providers.groq.apis[0]: expected chat_completions or responses or completions, "
            "got 'chat_completion'; did you mean chat_completions?"
        ),
        "",
    ),
    "APIs that are no list": (
        f"providers:\n  groq:\n{GROQ}    apis: responses\n",
        (
            "v.yaml:4:11: providers.groq.apis: expected a list of one or more of chat_completions, responses, "
            "completions, got 'responses'"
        ),
        "",
    ),
    "no API": (
        f"providers:\n  groq:\n{GROQ}    apis: []\n",
        (
            "v.yaml:4:11: providers.groq.apis: expected a list of one or more of chat_completions, responses, "
            "completions, got an empty list"
        ),
        "",
    ),
    "an API twice": (
        f"providers:\n  groq:\n{GROQ}    apis: [responses, responses]\n",
        (
            "v.yaml:4:11: providers.groq.apis: expected a list of one or more of chat_completions, responses, "
            "completions, got one of them twice"
        ),
        "",
    ),
    "an option of an API that is not asked for": (
        f"providers:\n  groq:\n{GROQ}    store: true\n",
        "v.yaml:4:12: providers.groq.store: an option of responses, which apis does not list",
        "",
    ),
    "a name with a slash": (
        f"providers:\n  a/b:\n{GROQ}",
        "v.yaml:2:3: providers.a/b: 'a/b' is no name for a provider: use small letters, digits, '.', '_' and '-'",
        "",
    ),
    "a name that is built in, with more than its keys": (
        f"providers:\n  openai:\n{GROQ}",
        (
            "v.yaml:3:15: providers.openai.base_url: 'openai' is built in and configured by the environment: only key "
            "and keys stand here"
        ),
        "",
    ),
    "a name that is built in, with nothing": (
        "providers:\n  openai: {}\n",
        (
            "v.yaml:2:11: providers.openai: key is missing; 'openai' is built in and configured by the environment: "
            "only key and keys stand here"
        ),
        "",
    ),
    "the simulator's name": (
        f"providers:\n  simulator:\n{GROQ}",
        (
            "v.yaml:2:3: providers.simulator: 'simulator' is built in and configured by the environment: choose "
            "another name"
        ),
        "",
    ),
    "a variable that is not set": (
        f"providers:\n  groq:\n{GROQ}    key: env:NOT_SET\n",
        "v.yaml:4:10: providers.groq.key: the environment has no NOT_SET: set it, or take this provider out",
        "",
    ),
    "a variable that is empty": (
        f"providers:\n  groq:\n{GROQ}    key: env:EMPTY\n",
        "v.yaml:4:10: providers.groq.key: the environment has no EMPTY: set it, or take this provider out",
        "",
    ),
    "a variable that holds no key": (
        f"providers:\n  groq:\n{GROQ}    key: env:TWO_WORDS\n",
        (
            "v.yaml:4:10: providers.groq.key: TWO_WORDS holds a blank, a line end or a non-ASCII character, which no "
            "key has: was it pasted whole?"
        ),
        "",
    ),
    "a header that breaks the line": (
        f'providers:\n  groq:\n{GROQ}    headers: {{X-A: "a\\r\\nX-B: b"}}\n',
        "v.yaml:4:20: providers.groq.headers.X-A: holds a line end or another character that no header can have",
        "",
    ),
    "a header's name that is none": (
        f"providers:\n  groq:\n{GROQ}    headers: {{X A: b}}\n",
        "v.yaml:4:15: providers.groq.headers.X A: 'X A' is no name for a header",
        "",
    ),
    "models at another host": (
        f"providers:\n  groq:\n{GROQ}    models_path: https://elsewhere/models\n",
        (
            "v.yaml:4:18: providers.groq.models_path: expected a path such as /models or null, "
            "got 'https://elsewhere/models'"
        ),
        "",
    ),
    "a merge key": (
        f"providers:\n  groq:\n    <<: {{top_k: true}}\n{GROQ}",
        "v.yaml:3:5: providers.groq: expected a name, got <<, which is not supported: write the members out",
        "",
    ),
    "a tag": (
        "providers: !!python/object/apply:os.system {}\n",
        (
            "v.yaml:1:12: providers: expected a mapping (name: value), got a value with the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'"
        ),
        "",
    ),
    "a mapping as a name": (
        "providers:\n  ? {a: 1}\n  : b\n",
        "v.yaml:2:5: providers: expected a name, got a mapping",
        "",
    ),
    "no YAML": (
        "providers: [1, 2\n",
        (
            "v.yaml:2:1: not YAML: expected ',' or ']', but got the end of the file (it began in line 1); "
            "a comma is missing, or the bracket is not closed"
        ),
        "",
    ),
    "a tab": (
        "providers:\n\tgroq:\n",
        (
            "v.yaml:2:1: not YAML: found character '\\t' that cannot start any token; "
            "YAML is indented with blanks, never with tabs"
        ),
        "",
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        (
            "v.yaml:2:1: not YAML: expected a single document in the stream, but found another document (it began in "
            "line 1); a file is one document: take the line --- out"
        ),
        "",
    ),
    "nothing": ("# only a comment\n", "v.yaml:1:1: the document is empty", ""),
    "a text": ("providers\n", "v.yaml:1:1: expected a mapping (name: value), got 'providers'", ""),
    "brackets without end": ("[" * 600, "v.yaml:1:40: not YAML: nested more than 40 deep", ""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_told_where_what_was_expected_and_what_came(wrong: str, tmp_path: Path) -> None:
    text, begins, ends = WRONG[wrong]
    said = refused(tmp_path, text)
    assert said.startswith(begins) if ends else said == begins
    assert said.endswith(ends)


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f"'{KEY}'",
        f"env:{KEY}",
        f"[{KEY}]",
        f"{{env: {KEY}}}",
        "sk-live: 1234567890",
        "1234567890",
        f"|\n      {KEY}",
    ],
)
def test_a_key_in_place_of_a_reference_is_refused_without_being_shown(value: str, tmp_path: Path) -> None:
    said = refused(tmp_path, f"providers:\n  groq:\n{GROQ}    key: {value}\n")
    assert "never the key itself" in said or "not YAML" in said
    assert KEY not in said
    assert "1234567890" not in said


@pytest.mark.parametrize("header", ["Authorization", "authorization", "X-API-Key", "api-key", "Cookie", "Host"])
def test_a_key_among_the_headers_is_refused_without_being_shown(header: str, tmp_path: Path) -> None:
    said = refused(tmp_path, f"providers:\n  groq:\n{GROQ}    headers: {{{header}: Bearer {KEY}}}\n")
    assert "a key is given by `key`" in said
    assert KEY not in said


@pytest.mark.parametrize("url", [f"https://me:{KEY}@h/v1", f"https://h/v1?key={KEY}"])
def test_a_key_in_the_base_url_is_refused_without_being_shown(url: str, tmp_path: Path) -> None:
    said = refused(tmp_path, f"providers:\n  groq:\n    base_url: {url}\n")
    assert said.startswith("v.yaml:3:15: providers.groq.base_url: ")
    assert KEY not in said


def test_every_built_in_name_is_refused(tmp_path: Path) -> None:
    for name in (*SPECS, "simulator"):
        assert "is built in" in refused(tmp_path, f"providers:\n  {name}:\n{GROQ}")


def test_a_file_that_is_not_there_or_no_utf_8_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file or directory"):
        load_provider_configs({}, tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"providers: {\xfc: 1}")
    with pytest.raises(ConfigError, match=r"latin\.yaml:1:13: not UTF-8: byte 12 is no part of a character"):
        load_provider_configs({}, tmp_path / "latin.yaml")


def test_a_file_that_is_no_file_of_vendors_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "log.yaml").write_bytes(b"# a\n" * (MAX_FILE_BYTES // 4) + b"#")
    with pytest.raises(ConfigError, match=rf"log\.yaml: larger than {MAX_FILE_BYTES} bytes"):
        load_provider_configs({}, tmp_path / "log.yaml")
    with pytest.raises(ConfigError, match=r"larger than"):
        load_provider_configs({}, Path("/dev/zero"))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
def test_any_text_is_vendors_or_a_config_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = file_with(tmp_path, text)
    try:
        vendors = load_provider_configs({}, path)
    except ConfigError as error:
        vendors, said = {}, str(error)
    else:
        said = str(path)
    assert vendors == {}
    assert said.startswith(str(path))
