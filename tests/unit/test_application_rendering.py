"""What users give reaches the program byte for byte, and nothing of it is ever read by a shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.application import (
    Application,
    BrokenApplication,
    FileFacts,
    Places,
    Rendered,
    check_inputs,
    choose_resources,
    quote,
    read_application,
    render,
)
from isthmus.application.encoding import Json
from isthmus.errors import ConfigurationError

HEAD = """\
name: say
version: 1.0.0
title: Say
summary: Prints its arguments.
inputs:
  text: {schema: {type: string, multiline: true, maxLength: 32000}, required: false}
  words: {schema: {type: array, items: {type: string, multiline: true}}, default: []}
  count: {schema: {type: number}, required: false}
  loud: {schema: {type: boolean}, default: false}
  one: {file: {extensions: [.txt, .tar.gz]}, required: false}
  many: {files: {}, required: false}
resources: {walltime_s: {default: 60}, cpus: {default: 2}}
"""
ARGV = (
    HEAD
    + """\
command:
  - "{deployment.say}"
  - --
  - if: inputs.text
    then: ["{inputs.text}", "text={inputs.text}"]
    else: [no text]
  - "{inputs.words}"
  - {if: inputs.count, then: ["count={inputs.count}"]}
  - {if: not inputs.loud, then: [quiet]}
  - {if: files.one, then: ["{files.one}"]}
  - {if: files.many, then: ["{files.many}"]}
  - "{outputs_dir}"
  - "{{braces}}"
deployments: {"*": {variables: {say: "{site.bin}/say"}, launcher: [run, -n, "{resources.processes}"], prefix: [env]}}
"""
)
SCRIPT = (
    HEAD
    + """\
script: |
  # it's a comment with a lone quote
  printf '%s\\0' {% if inputs.text is not none %}{{ inputs.text }} text={{ inputs.text }}{% endif %} \\
    "$(printf '%s|' {{ inputs.words }})" {{ inputs.words }} "${HOME:-none}" $((1 + 2))
  {% for word in inputs.words %}
  printf '%s\\0' {{ word | sh }}
  {% endfor %}
"""
)
PRINT = ("printf", "%s\\0")
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NASTY = st.sampled_from(
    [
        "",
        "'",
        '"',
        "\\",
        "\\'",
        "$(id)",
        "`id`",
        "a\n#SBATCH --time=0",
        "EOF\nid\nEOF",
        "-n",
        "*",
        "~",
        "$HOME",
        "2",
        "\n",
    ]
)
TEXT = st.one_of(ANY_TEXT, NASTY, st.lists(NASTY).map("".join))


def printed(script: str, *, shell: str = "/bin/sh") -> list[bytes]:
    """What the text prints, cut at NUL, when a real shell runs it."""
    done = subprocess.run(
        [shell], input=script.encode(), capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}, timeout=20
    )
    assert done.stderr == b""
    return done.stdout.split(b"\0")[:-1]


def rendered(text: str, values: dict[str, Json], **files: list[str]) -> Rendered:
    application = read_application(text, "say.yaml")
    facts = {name: [FileFacts("0" * 64, 1, one) for one in names] for name, names in files.items()}
    inputs = check_inputs(application, values, facts)
    resources = choose_resources(application, inputs, {})
    places = Places("/job/in", "/job/out", {"bin": "/opt/bin"})
    return render(application, inputs, resources, application.deployments[0], places)


def directly(script: str, text: str, words: list[str]) -> str:
    """The script template with values that no check has seen."""
    from isthmus.application.script import render_script

    return render_script(script, {"inputs": {"text": text, "words": list(words)}, "": {}})


@settings(deadline=None)
@given(TEXT)
def test_any_text_survives_quoting(text: str) -> None:
    assert printed(f"{' '.join(PRINT)} {quote(text)}".replace("%s\\0", "'%s\\0'")) == [text.encode()]


@settings(deadline=None, max_examples=60)
@given(TEXT, st.lists(TEXT, max_size=3))
def test_any_text_survives_a_script_template(text: str, words: list[str]) -> None:
    script = read_application(SCRIPT, "say.yaml").script
    joined = "".join(f"{word}|" for word in words) if words else "|"
    expected = [text, f"text={text}", joined.rstrip("\n"), *words, "none", "3", *words]
    assert printed(directly(script, text, words)) == [part.encode() for part in expected]


@settings(deadline=None, max_examples=60)
@given(TEXT, st.lists(TEXT, max_size=3))
def test_any_text_survives_the_words_of_a_command(text: str, words: list[str]) -> None:
    from isthmus.application.words import fill_command

    argv = fill_command(
        ("printf", "%s\\0", "{inputs.text}", "text={inputs.text}", "{inputs.words}"),
        {"inputs": {"text": text, "words": list(words)}},
    )
    line = " ".join(map(quote, argv))
    assert printed(line) == [part.encode() for part in (text, f"text={text}", *words)]


def test_a_value_with_a_newline_and_a_directive_stays_inside_its_quotes() -> None:
    value = "a\n#SBATCH --partition=all\n$(touch /tmp/x)"
    text = rendered(SCRIPT, {"text": value}).text()
    assert printed(text)[0] == value.encode()


def test_a_command_is_its_words_in_order() -> None:
    argv = rendered(ARGV, {"text": "it's", "words": ["a b", ""], "count": 0, "loud": True}).argv
    assert argv == (
        *("run", "-n", "1", "env", "/opt/bin/say", "--", "it's", "text=it's", "a b", "", "count=0"),
        *("/job/out", "{braces}"),
    )


def test_words_of_inputs_without_a_value_are_left_out() -> None:
    assert rendered(ARGV, {}).argv == (
        *("run", "-n", "1", "env", "/opt/bin/say", "--", "no text", "quiet", "/job/out", "{braces}"),
    )


def test_the_script_of_a_command_is_its_words_quoted() -> None:
    done = rendered(ARGV.replace("{site.bin}/say", "printf").replace("- --\n", "- '%s\\0'\n"), {"text": "a'b"})
    assert done.argv is not None
    assert printed(done.script.split("'env' ")[1]) == [word.encode() for word in done.argv[6:]]


def test_a_users_file_name_never_reaches_a_command() -> None:
    argv = rendered(ARGV, {}, one=["$(id).TAR.GZ"], many=["a b;c.csv", "../../etc/passwd", ".bashrc"]).argv
    assert argv is not None
    assert argv[-6:-2] == ("/job/in/one.tar.gz", "/job/in/many-1.csv", "/job/in/many-2", "/job/in/many-3")


DEPLOYED = (
    HEAD
    + """\
command: ["printf", '%s\\0', "a"]
deployments:
  "*":
    setup: |
      export GREETING={{ site.bin }}
    modules: [gcc/12.2]
    environment: {NOTE: "{resources.cpus} at {site.bin}'s"}
    path: ["{site.bin}/x y"]
"""
)


def test_the_whole_text_sets_up_loads_exports_and_then_becomes_the_program() -> None:
    assert rendered(DEPLOYED, {}).text().splitlines() == [
        "export GREETING='/opt/bin'",
        "module load 'gcc/12.2' || exit 1",
        "export NOTE='2 at /opt/bin'\\''s'",
        "PATH='/opt/bin/x y':$PATH; export PATH",
        "exec 'printf' '%s\\0' 'a'",
    ]


def test_the_whole_text_is_what_a_shell_runs() -> None:
    assert printed("module() { :; }\n" + rendered(DEPLOYED, {}).text()) == [b"a"]


def test_a_module_that_cannot_be_loaded_ends_the_job() -> None:
    text = "module() { return 1; }\n" + rendered(DEPLOYED, {}).text()
    assert subprocess.run(["/bin/sh"], input=text.encode(), check=False).returncode == 1


def test_a_variable_the_site_lacks_is_named() -> None:
    application = read_application(ARGV, "say.yaml")
    inputs = check_inputs(application, {}, {})
    with pytest.raises(ConfigurationError, match="the site's configuration sets no variable 'bin'"):
        render(
            application, inputs, choose_resources(application, inputs, {}), application.deployments[0], Places("/", "/")
        )


def test_a_variable_that_a_script_lacks_is_named() -> None:
    application = read_application(DEPLOYED, "say.yaml")
    inputs = check_inputs(application, {}, {})
    with pytest.raises(ConfigurationError, match="the site's configuration sets no variable 'bin'"):
        render(
            application, inputs, choose_resources(application, inputs, {}), application.deployments[0], Places("/", "/")
        )


def test_folders_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="not an absolute folder"):
        Places("in", "/out")


def test_a_script_has_its_launcher_where_it_says_so() -> None:
    text = (
        HEAD + "script: |\n  {{ launcher }} x\ndeployments: {'*': {launcher: [mpirun, -n, '{resources.processes}']}}\n"
    )
    assert rendered(text, {}).script == "'mpirun' '-n' '1' x\n"


@pytest.mark.parametrize(
    ("rule", "given_file", "network"), [("true", False, True), ("files.one", False, False), ("files.one", True, True)]
)
def test_the_network_may_depend_on_a_file(rule: str, given_file: bool, network: bool) -> None:
    text = f"{HEAD}command: [x]\nnetwork: {rule}\n"
    done = rendered(text, {}, **({"one": ["a.txt"]} if given_file else {}))
    assert done.network is network


def test_a_deployment_is_found_by_its_cluster_or_the_star() -> None:
    application = read_application(HEAD + "command: [x]\ndeployments: {'*': {}, big: {modules: [a]}}\n", "x")
    assert _modules(application, "big") == ("a",)
    assert _modules(application, "other") == ()
    alone = read_application(HEAD + "command: [x]\ndeployments: {big: {}}\n", "x")
    assert alone.deployment_on("other") is None


def _modules(application: Application, cluster: str) -> tuple[str, ...]:
    deployment = application.deployment_on(cluster)
    assert deployment is not None
    return deployment.modules


REFUSED = [
    ('echo "{{ inputs.text }}"', "can't stand between double quotes"),
    ("echo '{{ inputs.text }}'", "can't stand between single quotes"),
    ("# {{ inputs.text }}", "can't stand in a comment"),
    ("echo a # {{ inputs.text }}", "can't stand in a comment"),
    ("cat <<EOF\n{{ inputs.text }}\nEOF", "here-document"),
    ("cat <<< {{ inputs.text }}", "here-document"),
    ("echo `echo {{ inputs.text }}`", "write $(…) instead"),
    ("echo ${{ inputs.text }}", "right after '$'"),
    ("echo \\{{ inputs.text }}", "right after '\\'"),
    ("echo $'{{ inputs.text }}'", "is not POSIX sh"),
    ("echo ${x:-{{ inputs.text }}}", "too intricate to judge"),
    ("echo ${x:-'a'}", "too intricate to judge"),
    ("echo $(( {{ inputs.count }} + 1 ))", "too intricate to judge"),
    ("(( {{ inputs.count }} ))", "not POSIX sh"),
    ("[[ {{ inputs.count }} -eq 1 ]]", "a second time"),
    ("eval {{ inputs.text }}", "a second time"),
    ('echo "$(case x in x) echo "{{ inputs.text }}" ;; esac)"', "too intricate to judge"),
    ('echo "$(echo "{{ inputs.text }}")"', "can't stand between double quotes"),
    ("echo $(a)#' \n{{ inputs.text }}\n'", "can't stand between single quotes"),
    ("{% if inputs.loud %}a{% endif %}eval b", "a second time"),
    ("echo $\\\n{{ inputs.text }}", "put a space before the \\"),
    ('echo "$\\\n(echo {{ inputs.text }})"', "put a space before the \\"),
    ("echo >&{{ inputs.text }}", "takes a number or -"),
    ("echo >&1{{ inputs.text }}", "right after '>&1'"),
    ("echo >&1a{{ inputs.text }}", "takes a number or -"),
    ("echo >{% if inputs.loud %}&{% endif %} a", "half a sign"),
    ("echo 'a", "never closed"),
    ("echo $(a", "never closed"),
    ("{% if inputs.text %}'{% endif %}{{ inputs.text }}'", "must be closed in it"),
    ("'{% if inputs.text %}'{% endif %}", "can't stand between single quotes"),
    ("echo {{ inputs.text }}# it's", "put a space before this #"),
    ("{% filter sh %}{{ inputs.text }}{% endfilter %}", "filterblock can't be used"),
    ("{% set a = inputs.text %}{{ a }}", "assign can't be used"),
    ("{% macro a() %}{% endmacro %}", "macro can't be used"),
    ("{{ inputs.text ~ 'a' }}", "concat can't be used"),
    ("{{ inputs.text.format() }}", "call can't be used"),
    ("{{ inputs['text'] }}", "getitem can't be used"),
    ("{{ inputs.text | safe }}", "no filter 'safe'"),
    ("{% if inputs.text is string %}a{% endif %}", "no test 'string'"),
    ("{% include 'x' %}", "include can't be used"),
    ("{% for a in inputs.words recursive %}{{ a }}{% endfor %}", "a loop is written"),
    ("{{ inputs.txt }}", "did you mean 'inputs.text'?"),
    ("{{ inputs }}", "nothing is known as 'inputs'"),
    ("{{ self }}", "nothing is known as 'self'"),
    ("{{ inputs.__class__ }}", "nothing is known as"),
    ("{{ inputs.text", "unexpected end of template"),
    ("{{ inputs.text }}", "without text: there is no value; put it inside {% if %}"),
    ("{% if inputs.count %}a{% endif %}", "write inputs.count is not none"),
    ("{% if not inputs.count and inputs.text %}a{% endif %}", "write inputs.count is not none"),
]


@pytest.mark.parametrize(("script", "said"), REFUSED, ids=[script[:40] for script, _ in REFUSED])
def test_a_script_in_which_a_value_would_not_be_one_word_is_refused(script: str, said: str) -> None:
    body = "".join(f"  {line}\n" for line in ["true", *script.split("\n")])
    with pytest.raises(BrokenApplication) as broken:
        read_application(f"{HEAD}script: |\n{body}", "say.yaml")
    assert said in broken.value.message


def test_a_fault_of_a_script_names_its_line_in_the_file() -> None:
    with pytest.raises(BrokenApplication) as broken:
        read_application(HEAD + 'script: |\n  true\n\n  true\n  echo "{{ inputs.text }}"\n', "say.yaml")
    assert broken.value.faults[0].line == HEAD.count("\n") + 5


def test_a_launcher_that_the_script_passes_over_is_a_fault() -> None:
    with pytest.raises(BrokenApplication, match="has a launcher, but the script has no"):
        read_application(HEAD + "script: x\ndeployments: {'*': {launcher: [mpirun]}}\n", "say.yaml")


PERMITTED = [
    "echo a#b 'it''s' \"it's\" \\' \\\" $# ${#} \"${x:-a b}\"",
    'x="$(echo "$(echo {{ inputs.words }})")"; echo "$x" {{ inputs.words }}',
    "case x in x) echo {{ inputs.words }};; esac; (echo {{ inputs.words }})",
    "if [ 1 -eq 1 ]; then echo {{ inputs.words }} # it's\nfi",
    "echo {{ inputs.loud }}>/dev/null; echo {{ 'x' if inputs.loud else 'y' }}",
    "printf '%s\\n' {{ inputs.words }} \\\n  more",
    'echo {{ inputs.words }} >&1 2>&1; echo a 2>&-; echo "a\\\nb" >/dev/null \\\n  {{ inputs.words }}',
    "{%# it's a note #%}echo {{ inputs.words }}",
]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("script", PERMITTED, ids=range(len(PERMITTED)))
def test_ordinary_shell_text_is_accepted_and_safe(script: str, shell: str) -> None:
    body = "".join(f"  {line}\n" for line in script.split("\n"))
    text = rendered(f"{HEAD}script: |\n{body}", {"words": ["'; echo hacked; '", '"$(echo hacked)"']}).script
    done = subprocess.run([shell], input=text.encode(), capture_output=True, check=True, timeout=20)
    assert b"\nhacked" not in b"\n" + done.stdout
    assert done.stderr == b""
