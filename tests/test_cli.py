"""The command line: every command has help, exit statuses mean what the design says, an error is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

import swindex
from swindex.api import cli
from swindex.api import main as fast
from swindex.api.commands import options
from swindex.api.main import main
from swindex.api.putting import put_json as save
from swindex.index.errors import StoreError
from swindex.index.store import Index
from swindex.schema.errors import UsageError
from swindex.schema.record import Withdrawn

from . import records as make

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index(tmp_path / "index")
    made.append(make.found("org/found"))
    made.append(make.reported("org/reported"))
    return made


def process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "swindex.api", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)


# --- help ---


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all commands and groups."""
    command = command or get_command(cli.build())
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], capsys: Capture) -> None:
    assert main([*path, "--help"]) == 0

    out = capsys.readouterr().out
    assert out.startswith(f"Usage: {' '.join(['swindex', *path])} ")


@pytest.mark.parametrize("path", [p for p in commands() if p], ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    command: Any = get_command(cli.build())
    for name in path:
        command = command.commands[name]

    assert command.help
    assert all(p.help for p in command.params if p.param_type_name == "option" and p.name != "help")


def test_the_commands_are_those_that_exist() -> None:
    assert {" ".join(p) for p in commands() if p} == {
        "lookup",
        "history",
        "changes",
        "plot",
        "recipe",
        "card",
        "study",
        "search",
        "scan",
        "crawl",
        "download",
        "serve",
        "verify",
        "guard",
        "publish",
        "index",
        "index build",
        "index check",
        "index release",
        "index sql",
        "index stats",
        "index review",
        "index withdraw",
        "submit",
        "review",
        "review accept",
        "review check",
        "review fetch",
        "review list",
        "review reject",
        "review show",
        "review tell",
        "token",
        "token create",
        "token list",
        "token revoke",
    }


def test_the_fast_path_knows_the_options_of_typer() -> None:
    command: Any = get_command(cli.build())
    declared = {name for p in command.commands["lookup"].params for name in p.opts if name.startswith("--")}

    assert declared == {*fast._FLAGS, *fast._WITH_VALUE}


def test_without_arguments_there_is_help(capsys: Capture) -> None:
    assert main([]) == 0

    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("extra", [[], ["lookup"]])
def test_version_stops_there(extra: list[str], capsys: Capture) -> None:
    assert main(["--version", *extra]) == 0

    assert capsys.readouterr().out == f"swindex {swindex.__version__}\n"


# --- wrong usage: one line, exit status 2 ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "swindex: No such command 'nope'; see: swindex --help\n"),
        (["lookup"], "swindex: Missing argument 'MODEL[@REVISION]'; see: swindex lookup --help\n"),
        (["index"], "swindex: Missing command; see: swindex index --help\n"),
        (["lookup", "../x"], "swindex: '../x' is not a model id: write ORG/NAME as on the Hub\n"),
        (["history", "a/b@c"], "swindex: 'a/b@c' is not a model id: write ORG/NAME as on the Hub\n"),
        (["crawl"], "swindex: name the index to write to: --index DIR (or SWINDEX_INDEX)\n"),
        (["index", "build"], "swindex: name the index to write to: --index DIR (or SWINDEX_INDEX)\n"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWINDEX_INDEX", raising=False)

    assert (main(arguments), *capsys.readouterr()) == (2, "", message)


def test_an_error_of_typer_itself_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="Got unexpected extra argument"):
        cli.run(["lookup", "a/b", "c/d"])


# --- errors of other kinds ---


def test_an_unknown_model_is_exit_status_1_also_with_json(index: Index, capsys: Capture) -> None:
    assert main(["lookup", "org/nope", "--json", "--index", str(index.directory)]) == 1

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_missing_index_is_exit_status_3(tmp_path: Path, capsys: Capture) -> None:
    assert main(["lookup", "org/m", "--index", str(tmp_path)]) == 3

    assert capsys.readouterr().err == f"swindex: {tmp_path}: no index here; name a directory that holds records/\n"


def test_an_unexpected_error_is_one_line_with_a_hint(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWINDEX_DEBUG", raising=False)

    assert fast.guarded(lambda: int("x\ny")) == 3
    assert capsys.readouterr().err == (
        "swindex: ValueError: invalid literal for int() with base 10: 'x\\ny' (set SWINDEX_DEBUG=1 for the traceback)\n"
    )


def test_with_debug_an_unexpected_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWINDEX_DEBUG", "1")

    with pytest.raises(ValueError, match="invalid literal"):
        fast.guarded(lambda: int("x"))


def test_an_interrupt_is_exit_status_130(capsys: Capture) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert (fast.guarded(interrupted), capsys.readouterr().err) == (130, "swindex: interrupted\n")


def test_an_interrupt_inside_a_command_is_exit_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def stop() -> int:
        raise KeyboardInterrupt

    @app.callback()
    def root() -> None:
        pass

    monkeypatch.setattr(cli, "build", lambda: app)

    assert main(["stop"]) == 130


# --- in a process of its own ---


def test_a_lookup_in_a_process(index: Index) -> None:
    done = process("lookup", "org/found", "--json", "--index", str(index.directory))

    assert (done.returncode, json.loads(done.stdout)["outcome"], done.stderr) == (0, "found", "")


def test_the_index_of_the_environment(index: Index) -> None:
    done = process("lookup", "org/nope", env={"SWINDEX_INDEX": str(index.directory)})

    assert (done.returncode, done.stdout) == (1, "")


def test_a_damaged_record_names_file_and_line(index: Index) -> None:
    index.path("org/found").write_text("[]\n")
    done = process("lookup", "org/found", "--index", str(index.directory))

    assert done.returncode == 3
    assert done.stderr.startswith(f"swindex: {index.path('org/found')} line 1: not a record")


def test_nobody_listening_is_no_error(index: Index) -> None:
    command = [sys.executable, "-m", "swindex.api", "lookup", "org/found", "--index", str(index.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()

    assert said == ""


def test_no_colours_where_there_is_no_terminal(index: Index) -> None:
    assert "\x1b" not in process("lookup", "org/found", "--index", str(index.directory)).stdout


def test_text_that_the_terminal_cannot_show_is_replaced(index: Index) -> None:
    said = make.observation((1, 2, 3), statement="naïve → confirmed", caveat="naïve")
    parts = {**make.reported_parts("org/naive"), "observations": (said,), "remarks": (make.Remark(text="na\u00efve"),)}
    index.append(make.make(parts))
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process("lookup", "org/naive", "--index", str(index.directory), env=environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert "- na?ve\n" in done.stdout


# --- history, search ---


def test_history_in_words(index: Index, capsys: Capture) -> None:
    second = make.make(
        make.found_parts("org/reported"),
        make.reported("org/reported"),
        withdrawn=Withdrawn(time="2026-11-22T00:00:00Z", reason="wrong file"),
    )
    index.append(second)
    main(["history", "org/reported", "--index", str(index.directory)])
    first = make.reported("org/reported").provenance.digest[:12]

    assert capsys.readouterr().out == (
        "version 1 2026-11-21T07:00:00Z reported no commit\n"
        f"  by tester, {first}\n"
        "  weights added: L1.R2.C3, L2.R4.C3\n"
        "  groups added: reported-1\n"
        "  observations: +2\n"
        "version 2 2026-11-21T07:00:00Z found commit aaaaaaaaaaaa\n"
        f"  by tester, {second.provenance.digest[:12]}\n"
        "  weights added: L1.R7.C3\n"
        "  weights removed: L2.R4.C3\n"
        "  groups added: neuron-1-3\n"
        "  groups removed: reported-1\n"
        "  L1.R2.C3 alone: untested -> confirmed\n"
        "  L1.R2.C3 location: reported -> confirmed\n"
        "  scan scan-1 of 2026-11-21: found\n"
        "  observations: -2\n"
        "  WITHDRAWN: wrong file\n"
    )


def test_a_version_that_changes_no_status_says_so(index: Index, capsys: Capture) -> None:
    parts = make.found_parts("org/found")
    index.append(make.make({**parts, "remarks": (make.Remark(text="A note."),)}, make.found("org/found")))
    main(["history", "org/found", "--index", str(index.directory)])

    assert capsys.readouterr().out.endswith("  nothing that the status shows\n")


def test_history_as_json(index: Index, capsys: Capture) -> None:
    main(["history", "org/found", "--json", "--index", str(index.directory)])
    document = json.loads(capsys.readouterr().out)

    assert (document["model"], [v["version"] for v in document["versions"]]) == ("org/found", [1])


def test_search_in_words(index: Index, capsys: Capture) -> None:
    index.append(make.none_found("org/none"))
    assert main(["search", "org", "--index", str(index.directory)]) == 0

    assert capsys.readouterr().out == (
        "MODEL         OUTCOME     WEIGHTS  VERDICT    ARCHITECTURE      COMMIT\n"
        "org/found     found             2  confirmed  LlamaForCausalLM  aaaaaaaaaaaa\n"
        "org/none      none_found        0             LlamaForCausalLM  aaaaaaaaaaaa\n"
        "org/reported  reported          2  confirmed  LlamaForCausalLM\n"
    )


def test_search_without_a_match_is_exit_status_1(index: Index, capsys: Capture) -> None:
    assert main(["search", "zzz", "--json", "--index", str(index.directory)]) == 1

    out, err = capsys.readouterr()
    assert json.loads(out) == {"text": "zzz", "models": []}
    assert err == f"swindex: no model in the index {index.directory} matches 'zzz'\n"


# --- index ---


def test_build_makes_the_database(index: Index, capsys: Capture) -> None:
    assert main(["index", "build", "--index", str(index.directory)]) == 0

    assert capsys.readouterr().out == f"{index.database}\n"
    assert index.database.is_file()


def test_build_as_json(index: Index, capsys: Capture) -> None:
    main(["index", "build", "--json", "--index", str(index.directory)])

    assert json.loads(capsys.readouterr().out) == {"database": str(index.database)}


def test_check_of_a_sound_index(index: Index, capsys: Capture) -> None:
    main(["index", "build", "--index", str(index.directory)])
    capsys.readouterr()

    assert (main(["index", "check", "--index", str(index.directory)]), capsys.readouterr().out) == (
        0,
        "2 models, 0 errors, 0 warnings\n",
    )


def test_check_with_an_error_is_exit_status_1(index: Index, capsys: Capture) -> None:
    index.path("org/found").write_bytes(b"")

    assert main(["index", "check", "--index", str(index.directory)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("error empty-log: ")
    assert said[-1] == "2 models, 1 errors, 2 warnings"


def test_check_as_json_gives_codes(index: Index, capsys: Capture) -> None:
    main(["index", "check", "--json", "--index", str(index.directory)])
    document = json.loads(capsys.readouterr().out)

    assert [(f["code"], f["severity"]) for f in document["findings"]] == [("database-missing", "warning")]
    assert (document["models"], document["errors"], document["warnings"]) == (2, 0, 1)


def test_stats_as_json_counts(index: Index, capsys: Capture) -> None:
    main(["index", "stats", "--json", "--index", str(index.directory)])
    document = json.loads(capsys.readouterr().out)

    assert (document["models"], document["super_weights"]["total"]) == (2, 4)


def test_stats_in_words_leave_out_zeros(index: Index, capsys: Capture) -> None:
    main(["index", "stats", "--index", str(index.directory)])
    said = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())

    assert (said["models"], said["super weights: total"], said["outcomes: found"]) == ("2", "4", "1")
    assert "outcomes: gated" not in said


# --- what scanning needs ---


def test_scanning_without_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swindex.crawler", None)
    monkeypatch.setattr(options, "_EXTRA", ("swindex",))

    with pytest.raises(options.MissingExtraError, match=r"pip install 'swindex\[crawl\]'") as raised:
        options.crawler("scan")
    assert raised.value.exit_status == 3


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swindex.crawler", None)

    with pytest.raises(ModuleNotFoundError):
        options.crawler("scan")


def test_a_record_is_saved_whole(tmp_path: Path) -> None:
    record = make.found().model_dump(mode="json")
    save(record, tmp_path / "record.json")

    assert json.loads((tmp_path / "record.json").read_text()) == record
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_record_that_cannot_be_saved_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"record.json: not written: No such file or directory"):
        save({}, tmp_path / "none" / "record.json")
