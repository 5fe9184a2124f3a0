"""The image and compose.yml keep to the list of docs/operations.md, "Hardening"."""

import re

import pytest

from tests.deploy.manifests import ROOT, compose, dockerfile

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_runs_as_a_numbered_user_without_a_shell() -> None:
    (user,) = dockerfile("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "/usr/sbin/nologin" in DOCKERFILE


def test_every_dependency_of_the_image_is_checked_against_its_hash() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert all("--no-index" in line for line in re.findall(r"pip install[^\n]*", DOCKERFILE))


def test_the_image_holds_neither_build_tools_nor_secrets() -> None:
    assert len(re.findall(r"(?m)^FROM ", DOCKERFILE)) == 2
    assert "pip uninstall" in DOCKERFILE
    assert not re.search(r"(?mi)^(ARG|ENV) .*(password|secret|key)", DOCKERFILE)
    assert "ADD " not in DOCKERFILE
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_image_says_how_it_is_stopped_and_asked() -> None:
    assert dockerfile("STOPSIGNAL") == ["SIGTERM"]
    assert "/healthz" in dockerfile("HEALTHCHECK")[0]
    assert dockerfile("CMD")[-1].startswith("[")


@pytest.mark.parametrize("name", ["db", "migrate", "app"])
def test_a_container_of_compose_has_no_right_that_it_does_not_need(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]


def test_compose_publishes_on_loopback_alone_and_holds_no_password() -> None:
    published = {name: service.get("ports", []) for name, service in compose()["services"].items()}
    assert published == {"db": [], "migrate": [], "app": ["127.0.0.1:8000:8000"]}
    for service in compose()["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|KEY|URL", name):
                assert "${" in value
