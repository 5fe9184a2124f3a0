"""The files of deploy/ and beside it, read for what they say."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with schemathesis, without types

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
Document = Mapping[str, Any]


def documents() -> list[Document]:
    """Everything that would be applied, in the order of the kustomization."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [document for name in listed for document in yaml.safe_load_all((FOLDER / name).read_text())]


def of_kind(kind: str) -> list[Document]:
    return [document for document in documents() if document["kind"] == kind]


def named(kind: str, name: str) -> Document:
    (found,) = [document for document in of_kind(kind) if document["metadata"]["name"] == name]
    return found


def pods() -> dict[str, Document]:
    """The templates of pods, by the name of what makes them."""
    makers = [*of_kind("Deployment"), *of_kind("Job")]
    return {maker["metadata"]["name"]: maker["spec"]["template"] for maker in makers}


def container(pod: Document) -> Document:
    (only,) = pod["spec"]["containers"]
    found: Document = only
    return found


def variables(pod: Document) -> Iterator[str]:
    for source in container(pod).get("envFrom", ()):
        yield from named("ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container(pod).get("env", ()):
        yield variable["name"]


def dockerfile(instruction: str) -> list[str]:
    """The arguments of each such instruction of the last stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    last = re.split(r"(?m)^FROM ", text)[-1]
    return re.findall(rf"(?m)^\s*{instruction} (.*)$", last)


def compose() -> Document:
    read: Document = yaml.safe_load((ROOT / "compose.yml").read_text())
    return read
