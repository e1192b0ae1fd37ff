"""Every overlay renders, is valid, and keeps the promises of docs/infrastructure.md."""

from __future__ import annotations

import copy
import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from pipelines.config import RunConfig
from pipelines.settings import load_settings
from tests.infra import crd, kustomize

K8S = Path(__file__).resolve().parents[2] / "infra" / "k8s"
OVERLAYS = ("dev", "production", "run", "raycronjob")
KUBERNETES = "1.32"
PLACEHOLDERS = {"PROJECT_ID", "LAKE_BUCKET", "CORPUS_BUCKET", "DATASET"}


@cache
def _rendered(overlay: str) -> str:
    return json.dumps(kustomize.render(K8S / "overlays" / overlay))


def rendered(overlay: str) -> list[dict[str, Any]]:
    """The overlay's manifests, anew for each caller."""
    return json.loads(_rendered(overlay))


def named(overlay: str, kind: str, name: str | None = None) -> dict[str, Any]:
    found = [
        m
        for m in rendered(overlay)
        if m["kind"] == kind and (name is None or m["metadata"]["name"] == name)
    ]
    assert len(found) == 1, f"{overlay}: {len(found)} × {kind} {name}"
    return found[0]


def pod_specs(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod specification of a manifest, with a name for messages."""
    if manifest["kind"] == "CronJob":
        yield "cronjob", manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    if manifest["kind"] in ("RayJob", "RayCronJob"):
        job = manifest["spec"].get("jobTemplate", manifest["spec"])
        cluster = job["rayClusterSpec"]
        yield "submitter", job["submitterPodTemplate"]["spec"]
        yield "head", cluster["headGroupSpec"]["template"]["spec"]
        for group in cluster["workerGroupSpecs"]:
            yield group["groupName"], group["template"]["spec"]


def every_pod() -> list[Any]:
    return [
        pytest.param(overlay, pod, id=f"{overlay}-{manifest['metadata']['name']}-{name}")
        for overlay in OVERLAYS
        for manifest in rendered(overlay)
        for name, pod in pod_specs(manifest)
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid(overlay: str, data: Path) -> None:
    manifests = rendered(overlay)
    assert manifests
    for manifest in manifests:
        if manifest["apiVersion"].startswith("ray.io/"):
            assert crd.problems(data, manifest) == []
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize(("overlay", "pod"), every_pod())
def test_pods_inside_are_valid(overlay: str, pod: dict[str, Any]) -> None:
    wrapped = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod}
    kubernetes_validate.validate(wrapped, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entrypiont"), "fakeout run"),
        (("spec", "backoffLimit"), "one"),
        (("spec", "ttlSecondsAfterFinished"), "600s"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containres"), []),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "password"),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else None,
)
def test_validation_catches_a_planted_mistake(
    path: tuple[str, ...], value: object, data: Path
) -> None:
    manifest = copy.deepcopy(named("production", "RayJob"))
    place = manifest
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert crd.problems(data, manifest), path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_own_rendering_agrees_with_kubectl(overlay: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed; the overlays were rendered by tests/infra only")
    done = subprocess.run(
        [kubectl, "kustomize", str(K8S / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    theirs = {_key(m): m for m in yaml.safe_load_all(done.stdout)}
    ours = {_key(m): m for m in rendered(overlay)}
    assert sorted(ours) == sorted(theirs)
    for key, manifest in ours.items():
        assert manifest == theirs[key], key


def _key(manifest: dict[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


@pytest.mark.parametrize(("overlay", "pod"), every_pod())
def test_pods_are_confined(overlay: str, pod: dict[str, Any]) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] >= 10000
    assert security["seccompProfile"]["type"] == "RuntimeDefault"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert resources["limits"]["memory"], container["name"]
        assert not container["image"].endswith(":latest")
        for variable in container.get("env", []):
            is_secret = re.search("TOKEN|SECRET|PASSWORD|KEY|WEBHOOK", variable["name"])
            assert not (is_secret and "value" in variable), f"{variable['name']} holds its value"
        mounts = {mount["mountPath"] for mount in container.get("volumeMounts", [])}
        if container["name"].startswith("ray-"):
            assert "/tmp" in mounts, "a read-only root needs a writable /tmp"
    for volume in pod.get("volumes", []):
        assert "hostPath" not in volume
        assert volume.get("emptyDir", {"sizeLimit": 1})["sizeLimit"], volume["name"]


def test_only_the_head_and_the_launcher_hold_a_cluster_token() -> None:
    for name, pod in pod_specs(named("production", "RayJob")):
        if name != "head":  # the autoscaler in it asks for pods
            assert pod["automountServiceAccountToken"] is False, name


def test_workers_bear_a_preemption_and_the_head_does_not_meet_one() -> None:
    pods = dict(pod_specs(named("production", "RayJob")))
    assert pods["head"]["nodeSelector"] == {"fakeout.dev/pool": "system"}
    assert "tolerations" not in pods["head"]
    for name in ("cpu", "gpu"):
        tolerated = {item["key"] for item in pods[name]["tolerations"]}
        assert "fakeout.dev/spot" in tolerated
        assert pods[name]["terminationGracePeriodSeconds"] <= 25
        assert pods[name]["containers"][0]["lifecycle"]["preStop"]
    assert "nvidia.com/gpu" in {item["key"] for item in pods["gpu"]["tolerations"]}
    job = named("production", "RayJob")["spec"]
    assert job["backoffLimit"] >= 1
    assert job["shutdownAfterJobFinishes"] is True


def test_worker_groups_have_bounds_and_start_at_zero() -> None:
    for overlay, groups in (("production", ["cpu", "gpu"]), ("dev", ["cpu"])):
        spec = named(overlay, "RayJob")["spec"]["rayClusterSpec"]
        assert spec["enableInTreeAutoscaling"] is True
        assert [group["groupName"] for group in spec["workerGroupSpecs"]] == groups
        for group in spec["workerGroupSpecs"]:
            assert group["minReplicas"] == group["replicas"] == 0
            assert 0 < group["maxReplicas"] <= 40


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_the_pools_are_what_a_full_cluster_holds(overlay: str) -> None:
    """The cluster starts empty: pools derived from it would have one worker, and no GPU."""
    settings = yaml.safe_load(named(overlay, "ConfigMap", "fakeout-config")["data"]["fakeout.yaml"])
    config = load_settings(
        RunConfig, None, [f"{key}={json.dumps(settings[key])}" for key in settings]
    )
    held: dict[str, float] = {}
    for group in named(overlay, "RayJob")["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        start, most = group["rayStartParams"], group["maxReplicas"]
        slots = json.loads(json.loads(start.get("resources", '"{}"'))).get("fakeout_worker", 0)
        assert slots < int(start["num-cpus"]), "the tasks between the pools need a CPU"
        held["fakeout_worker"] = held.get("fakeout_worker", 0) + most * slots
        held["gpu"] = held.get("gpu", 0) + most * int(start.get("num-gpus", 0))
    crop, score = config.crop_stage.placement, config.score_stage.placement
    assert crop.workers == held["fakeout_worker"]
    assert crop.resources == {"fakeout_worker": 1}
    if held["gpu"]:
        assert (score.workers, score.gpus, score.resources) == (held["gpu"], 1, {})
    else:
        assert (score.workers, score.gpus, score.resources) == (crop.workers, 0, crop.resources)


def _gigabytes(quantity: str) -> float:
    factor = {"Gi": 2**30, "Mi": 2**20}[quantity[-2:]]
    return float(quantity[:-2]) * factor / 1e9


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_memory_requests_hold_the_workers(overlay: str) -> None:
    """7 workers at 3 GB (the larger bound), the object store, 2 GB for Ray."""
    for group in named(overlay, "RayJob")["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        container = group["template"]["spec"]["containers"][0]
        cpus = int(group["rayStartParams"]["num-cpus"])
        store = int(group["rayStartParams"]["object-store-memory"]) / 1e9
        assert _gigabytes(container["resources"]["requests"]["memory"]) >= cpus * 3 + store + 2
        volumes = {v["name"]: v.get("emptyDir", {}) for v in group["template"]["spec"]["volumes"]}
        assert _gigabytes(volumes["shm"]["sizeLimit"]) >= store, "Ray would fall back to disk"


def test_kubernetes_and_terraform_agree_on_pools_and_accounts() -> None:
    gke = (K8S.parent / "terraform/modules/gke/variables.tf").read_text()
    pools = set(re.findall(r"^    (\w+) += \{ machine_type", gke, re.M))
    for overlay in OVERLAYS:
        for manifest in rendered(overlay):
            for name, pod in pod_specs(manifest):
                assert pod["nodeSelector"]["fakeout.dev/pool"] in pools, (overlay, name)
    identity = (K8S.parent / "terraform/modules/identity/variables.tf").read_text()
    assert '"fakeout-job"' in identity
    account = named("production", "ServiceAccount", "fakeout-job")
    email = account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"]
    assert email == "fakeout-job@PROJECT_ID.iam.gserviceaccount.com"


def test_ray_version_is_the_one_that_is_installed() -> None:
    lock = (K8S.parents[1] / "requirements.lock").read_text()
    pinned = re.search(r"^ray(?:\[[^]]*\])?==([\d.]+)", lock, re.M)
    assert pinned
    for overlay in ("production", "dev", "run"):
        assert named(overlay, "RayJob")["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]


def test_nights_do_not_overlap() -> None:
    nightly = named("production", "CronJob", "fakeout-nightly")["spec"]
    assert nightly["concurrencyPolicy"] == "Forbid"
    assert nightly["timeZone"] == "Etc/UTC"
    run_limit = named("production", "RayJob")["spec"]["activeDeadlineSeconds"]
    assert run_limit < nightly["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 24 * 3600


def test_templates_are_suspended_and_a_run_is_not() -> None:
    assert named("production", "RayJob")["spec"]["suspend"] is True
    assert named("dev", "RayJob")["spec"]["suspend"] is True
    run = named("run", "RayJob")
    assert run["spec"]["suspend"] is False
    assert run["metadata"]["name"] == "fakeout-run"
    assert named("dev", "CronJob", "fakeout-nightly")["spec"]["suspend"] is True
    assert "suspend" not in named("production", "CronJob", "fakeout-nightly")["spec"]
    assert "suspend" not in named("raycronjob", "RayCronJob")["spec"]["jobTemplate"]


def test_launcher_may_do_no_more_than_it_does() -> None:
    rules = named("production", "Role")["rules"]
    granted = {(r["resources"][0], verb) for r in rules for verb in r["verbs"]}
    assert granted == {
        ("rayjobs", "get"),
        ("rayjobs", "list"),
        ("rayjobs", "create"),
        ("rayjobs", "delete"),
        ("cronjobs", "get"),
    }
    assert "*" not in json.dumps(rules)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secrets_and_known_placeholders_only(overlay: str) -> None:
    manifests = rendered(overlay)
    assert "Secret" not in {m["kind"] for m in manifests}
    text = yaml.safe_dump_all(manifests)
    found = set(re.findall(r"\b[A-Z]{3,}_[A-Z]+\b|\bDATASET\b", text))
    names = {"JOB_NAME", "RAY_USAGE_STATS_ENABLED", "OMP_NUM_THREADS", "FAKEOUT_WEBHOOK_SECRET"}
    assert found - names <= PLACEHOLDERS


def test_cloud_scheduler_takes_the_cronjobs_place(tmp_path: Path) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/production/kustomization.yaml"
    text = yaml.safe_load(overlay.read_text())
    text["components"].append("../../components/cloud-scheduler")
    overlay.write_text(yaml.safe_dump(text))
    manifests = {_key(m): m for m in kustomize.render(overlay.parent)}
    assert manifests["CronJob", "fakeout-nightly"]["spec"]["suspend"] is True
    assert "suspend" not in manifests["CronJob", "fakeout-nightly-age"]["spec"]
    user = manifests["RoleBinding", "fakeout-launcher-cloud"]["subjects"][0]
    assert user["kind"] == "User"
    for manifest in manifests.values():
        if not manifest["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", ["dev", "production", "run", "raycronjob"])
def test_entrypoints_are_commands_that_exist(overlay: str) -> None:
    if overlay == "raycronjob":
        job = named(overlay, "RayCronJob")["spec"]["jobTemplate"]
    else:
        job = named(overlay, "RayJob")["spec"]
    program, name, *arguments = shlex.split(job["entrypoint"])
    assert program == "fakeout"
    assert name == ("run" if overlay == "run" else "rescan")
    assert "--address" in arguments, "the driver must join the cluster that was made for it"
    try:
        module = importlib.import_module(f"jobs.commands.{name}")
    except ModuleNotFoundError:
        pytest.skip(f"fakeout {name} is not in this tree yet; its options were not compared")
    app = typer.Typer()
    module.register(app)
    command = typer.main.get_command(app)
    command = getattr(command, "commands", {}).get(name, command)
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word for word in arguments if word.startswith("--")}
    assert given <= known, f"{name} has no {sorted(given - known)}"
