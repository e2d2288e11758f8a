"""Choosing on the command line what one is told of."""

from __future__ import annotations

import json

import pytest

from tests.service.gateway_process import GatewayProcess


def test_an_account_shows_what_one_is_told_of_and_where(gateway: GatewayProcess) -> None:
    assert "never" in gateway.run("account").out
    ended = gateway.run("account", "--email", "ann@example.org", "--notify", "e,a")
    assert ended.code == 0, ended.err
    told = " ".join(ended.out.split())
    assert "e-mail ann@example.org told when a job ended, was aborted" in told
    assert json.loads(gateway.run("account", "--json").out)["notices"] == "ea"
    assert gateway.run("submit", "counting", "--upto", "0", "--notify", "e").err.count("address") == 0
    gateway.run("account", "--email", "none", "--notify", "none")
    me = json.loads(gateway.run("account", "--json").out)
    assert (me["email"], me["notices"]) == (None, "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--notify", "x"), 2, "b (began), e (ended) and a (aborted), or none"),
        (("--notify", ","), 2, "--notify takes some of"),
        (("--email", "ann"), 4, "ann@example.org"),
    ],
)
def test_a_wrong_choice_is_told_with_what_would_be_right(
    gateway: GatewayProcess, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = gateway.run("account", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_submission_says_of_what_one_is_told(gateway: GatewayProcess) -> None:
    told = json.loads(gateway.run("submit", "counting", "--upto", "0", "--notify", "e,b", "--json").out)
    untold = json.loads(gateway.run("submit", "counting", "--upto", "0", "--notify", "none", "--json").out)
    again = json.loads(gateway.run("resubmit", told["id"], "--notify", "a", "--json").out)
    unheard = gateway.run("submit", "counting", "--upto", "0", "--notify", "e")
    assert "isthmus account --email ADDRESS" in unheard.err
    assert len(unheard.out.split()) == 1
    assert [job["notices"] for job in (told, untold, again)] == ["be", "", "a"]
    assert gateway.run("submit", "counting", "--upto", "0", "--notify", "often").code == 2
