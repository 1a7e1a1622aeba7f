"""The policy of a crawl: read strictly from a curator's file, and the rules that leave a listed model out."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swindex.crawler.crawling.policy import DEFAULT, RULES, Policy
from swindex.crawler.crawling.row import Row
from swindex.schema.errors import UsageError

SHA = "a" * 40


def row(model_id: str = "org/name", **facts: Any) -> Row:
    """A row of a listing."""
    return Row(model_id, SHA, **facts)


def written(folder: Path, text: str) -> Path:
    """A policy file."""
    path = folder / "policy.toml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> str:
    """What is said of a policy that is none, without the name of the file, which it begins with."""
    path = written(folder, text)
    with pytest.raises(UsageError) as caught:
        Policy.read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.isprintable()
    return said.removeprefix(f"{path}: ")


def test_the_shipped_file_says_what_holds_where_nothing_is_said() -> None:
    assert Policy.read() == Policy()


def test_the_shipped_file_shows_every_key_there_is() -> None:
    text = DEFAULT.read_text().replace("\n# ", "\n")
    shown = {line.split(" = ")[0] for line in text.splitlines() if " = " in line}

    fields = Policy.model_fields.values()
    assert {key for f in fields for key in f.annotation.model_fields} <= shown  # type: ignore[union-attr]


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert Policy.read(written(tmp_path, "")) == Policy()


def test_what_a_curator_writes_is_what_holds(tmp_path: Path) -> None:
    policy = Policy.read(
        written(tmp_path, '[models]\nmax_bytes = 30_000_000_000\ndeny = ["bad"]\n[workers]\ncount = 4')
    )

    assert (policy.models.max_bytes, policy.models.deny, policy.workers.count) == (30_000_000_000, ("bad",), 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models]\nmax_byte = 1", "[models] max_byte: no such key; there are max_bytes, gated"),
        ("[model]\n", "[model]: no such key; there are listing, models"),
        ('[listing]\nsort = "size"', "[listing] sort: 'size': the Hub sorts by created_at, downloads"),
        ('[listing]\nnum_parameters = "1B"', "[listing] num_parameters: '1B' is not a range as min:1B,max:14B"),
        ("[listing]\nlimit = 1.5", "[listing] limit: "),
        ("[listing]\nlimit = 0", "[listing] limit: "),
        ("[models]\nmax_bytes = -1", "[models] max_bytes: "),
        ("[models]\ngated = 1", "[models] gated: "),
        ('[models]\nleave_relations = ["copy"]', "[models] leave_relations.0: "),
        ('[fine_tunes]\nsurvival = "on"', "[fine_tunes] survival: "),
        ("[budget]\nhours = inf", "[budget] hours: "),
        ("[breaker]\nshare = 1.5", "[breaker] share: "),
        ("listing = 3", "[listing]: "),
        ("[models]\nmax_bytes = 1\nmax_bytes = 2", "the policy is not TOML: "),
        ("a = ", "the policy is not TOML: "),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_a_policy_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Policy.read(tmp_path / "none.toml")


def test_a_policy_that_is_not_text_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe\0")

    with pytest.raises(UsageError, match="not TOML"):
        Policy.read(path)


VALUES = st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=3) | st.floats() | st.booleans()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["listing", "models", "budget", "fine_tunes"]),
    st.sampled_from(["limit", "deny", "hours", "survival", "gated", "y"]),
    VALUES,
)
def test_a_value_is_taken_as_it_is_or_refused_in_one_line(section: str, key: str, value: Any) -> None:
    try:
        policy = Policy().but(**{section: {key: value}})
    except UsageError as error:
        said = str(error)
    else:
        held = getattr(getattr(policy, section), key)
        said = "" if held == (tuple(value) if isinstance(value, list) else value) else "another value"

    assert said == "" or (said.startswith(f"options: [{section}] {key}") and said.isprintable())


def test_options_change_what_they_name_and_leave_the_rest() -> None:
    policy = Policy().but(listing={"author": "org", "limit": None}, models={"max_bytes": 5})

    assert policy == Policy.model_validate_json('{"listing": {"author": "org"}, "models": {"max_bytes": 5}}')


def test_a_wrong_option_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="sorts by"):
        Policy().but(listing={"sort": "size"})


# --- rules ---


@pytest.mark.parametrize(
    ("models", "left", "rule"),
    [
        ("", row(disabled=True), "disabled"),
        ("gated = false", row(gated=True), "gated"),
        ('deny = ["org"]', row("Org/name"), "denied"),
        ('deny = ["org/na*"]', row(), "denied"),
        ('deny = ["o?g"]', row(), "denied"),
        ('deny = ["ORG/NAME"]', row(), "denied"),
        ('allow = ["other", "org/other"]', row(), "not allowed"),
        ("", row(relation="adapter", base_models=("org/base",)), "relation"),
        ("", row(relation="quantized", base_models=("org/base",)), "relation"),
        ("", row(tags=("gguf",)), "tag"),
        ("", row(library="peft"), "tag"),
        ('leave_architectures = ["*ForSequenceClassification"]', row(architecture="XForSequenceClassification"),
         "architecture"),
        ("max_bytes = 9", row(size=10), "too large"),
    ],
)  # fmt: skip
def test_a_rule_leaves_a_model_out(tmp_path: Path, models: str, left: Row, rule: str) -> None:
    found = Policy.read(written(tmp_path, f"[models]\n{models}")).rule_against(left)

    assert found is not None
    assert found[0] == rule


def test_every_rule_is_tried_above() -> None:
    (mark,) = test_a_rule_leaves_a_model_out.pytestmark  # type: ignore[attr-defined]

    assert {case[2] for case in mark.args[1]} == {name for name, _ in RULES}


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        ("", row()),
        ("", row(gated=True)),
        ("max_bytes = 10", row(size=10)),
        ("max_bytes = 10", row(size=None)),
        ('allow = ["org"]', row()),
        ('allow = ["org/na*"]', row()),
        ('deny = ["or", "name", "org/nam", "org/name2", "*/other"]', row()),
        ("", row(relation="finetune", base_models=("org/base",))),
        ("leave_tags = []", row(tags=("gguf",))),
        ('leave_architectures = ["llama"]', row(architecture="LlamaForCausalLM")),
    ],
)
def test_what_no_rule_names_is_taken(tmp_path: Path, models: str, taken: Row) -> None:
    assert Policy.read(written(tmp_path, f"[models]\n{models}")).rule_against(taken) is None


def test_the_reason_says_how_large_a_model_is() -> None:
    policy = Policy().but(models={"max_bytes": 9})

    assert policy.rule_against(row(size=10)) == ("too large", "10 bytes, more than --max-bytes 9")


def test_the_default_file_is_data_of_the_package() -> None:
    settings = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())

    assert "*.toml" in settings["tool"]["setuptools"]["package-data"]["swindex.crawler.crawling"]
