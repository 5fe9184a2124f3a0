"""The manifests agree with each other, with the image and with the application. Nobody here has a cluster."""

import re

import pytest
from typer.main import get_command

from app.cli.commands import app
from app.main import ROUTERS
from app.settings import Settings
from tests.deploy.manifests import FOLDER, container, dockerfile, documents, named, of_kind, pods, variables

SECRETS = {
    "database_url",
    "migration_url",
    "admin_key",
    "link_secrets",
    "household_pepper",
    "erasure_secrets",
}
API_VERSIONS = {
    "ConfigMap": "v1",
    "Service": "v1",
    "Job": "batch/v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
PODS = ["rapport", "rapport-worker", "rapport-migrate"]


def test_every_file_is_applied_and_every_object_has_its_version_and_a_name() -> None:
    listed = {name.name for name in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(re.findall(r"- (\w+\.yaml)", (FOLDER / "kustomization.yaml").read_text())) == listed
    for document in documents():
        assert document["apiVersion"] == API_VERSIONS[document["kind"]]
        assert re.fullmatch(r"[a-z][a-z-]*[a-z]", document["metadata"]["name"])
    names = [(document["kind"], document["metadata"]["name"]) for document in documents()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_right_that_it_does_not_need(name: str) -> None:
    pod = pods()[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    whole, part = pod["securityContext"], container(pods()[name])["securityContext"]
    (user,) = dockerfile("USER")
    assert f"{whole['runAsUser']}:{whole['runAsGroup']}" == user
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert part == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    (volume,) = pod["volumes"]
    assert volume["emptyDir"]["sizeLimit"]
    assert [mount["mountPath"] for mount in container(pods()[name])["volumeMounts"]] == ["/tmp"]  # noqa: S108 - in a pod


@pytest.mark.parametrize("name", PODS)
def test_a_pod_says_what_it_takes(name: str) -> None:
    resources = container(pods()[name])["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("name", PODS)
def test_variables_are_settings_and_secrets_come_by_reference(name: str) -> None:
    known = {f"RAPPORT_{field.upper()}" for field in Settings.model_fields}
    hidden = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert hidden <= SECRETS
    assert set(variables(pods()[name])) <= known
    secret = {f"RAPPORT_{field.upper()}" for field in SECRETS}
    for document in of_kind("ConfigMap"):
        assert not secret & document["data"].keys()
    for variable in container(pods()[name])["env"]:
        assert variable.keys() == {"name", "valueFrom"}
        assert variable["valueFrom"].keys() == {"secretKeyRef"}


def test_the_settings_are_ones_that_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in named("ConfigMap", "rapport-settings")["data"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.sweep_seconds, settings.pgbouncer) == (0, False)


def test_only_the_migration_may_change_the_schema() -> None:
    owners = [name for name, pod in pods().items() if "RAPPORT_MIGRATION_URL" in variables(pod)]
    assert owners == ["rapport-migrate"]


@pytest.mark.parametrize("name", PODS)
def test_commands_are_those_of_the_command_line(name: str) -> None:
    program, command, *options = container(pods()[name])["args"]
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group of commands, typed as one
    assert program == "rapport"
    known = {option for parameter in commands[command].params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known


def test_probes_ask_what_the_application_answers_without_a_key() -> None:
    paths = {route.path for router in ROUTERS for route in router.routes if hasattr(route, "path")}
    service = container(pods()["rapport"])
    asked = {
        name: service[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert set(asked.values()) <= paths
    assert {service[name]["httpGet"]["port"] for name in asked} == {"http"}


def test_the_port_is_the_same_everywhere() -> None:
    service = container(pods()["rapport"])
    (port,) = service["ports"]
    assert port == {"name": "http", "containerPort": int(dockerfile("EXPOSE")[0])}
    assert service["args"][-1] == str(port["containerPort"])
    (reached,) = named("Service", "rapport")["spec"]["ports"]
    assert reached["targetPort"] == "http"


def test_selectors_find_the_pods_they_mean() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}

    def found(selector: dict[str, str]) -> set[str]:
        return {name for name, own in labels.items() if selector.items() <= own.items()}

    assert found(named("Service", "rapport")["spec"]["selector"]) == {"rapport"}
    budget = named("PodDisruptionBudget", "rapport")["spec"]
    assert found(budget["selector"]["matchLabels"]) == {"rapport"}
    for deployment in of_kind("Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert found(selector) == {deployment["metadata"]["name"]}
    everybody = named("NetworkPolicy", "rapport-database")["spec"]
    assert found(everybody["podSelector"]["matchLabels"]) == set(PODS)
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everybody
    clients = named("NetworkPolicy", "rapport-clients")["spec"]
    assert found(clients["podSelector"]["matchLabels"]) == {"rapport"}


def test_one_replica_stays_whatever_is_drained_or_rolled_out() -> None:
    deployment = named("Deployment", "rapport")["spec"]
    assert deployment["replicas"] == 2
    assert named("PodDisruptionBudget", "rapport")["spec"]["minAvailable"] == 1
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_pod_that_ends_has_time_to_answer_what_is_under_way() -> None:
    pod = pods()["rapport"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = Settings.model_fields["drain_seconds"].default
    assert pod["terminationGracePeriodSeconds"] > drain + pause
