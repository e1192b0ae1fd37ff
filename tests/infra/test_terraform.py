"""Terraform's own checks on infra/terraform, and mistakes planted to see them caught.

Real Terraform, attached to a stand-in that serves the provider's schema (tools/infra_check).
Nothing is planned against or applied to a cloud.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fakeout_core.schemas import TABLES
from tools import lake_tables
from tools.infra_check import __main__ as infra_check
from tools.infra_check import bindings, provider

REPOSITORY = Path(__file__).resolve().parents[2]
TERRAFORM = REPOSITORY / "infra" / "terraform"


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Terraform's environment, attached to the provider's schema."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed; the modules were not checked")
    schema = infra_check.provider_schema(TERRAFORM)
    with provider.serve(schema) as attach:
        yield infra_check.terraform_environment(attach)


def problems(root: Path, folder: str, environment: dict[str, str]) -> str:
    """Output of the failed steps of one folder; empty if all passed."""
    steps = infra_check.check_folder(root, root / folder, environment)
    assert steps
    return "\n".join(f"{step.name}\n{step.output}" for step in steps if not step.is_ok)


FOLDERS = sorted(
    str(path.parent.relative_to(TERRAFORM)) for path in TERRAFORM.glob("*/*/versions.tf")
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to initialise in, so that nothing is left beside the sources."""
    target = tmp_path_factory.mktemp("terraform") / "terraform"
    shutil.copytree(TERRAFORM, target, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return target


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_valid_and_its_tests_pass(
    folder: str, tree: Path, environment: dict[str, str]
) -> None:
    assert problems(tree, folder, environment) == ""


def test_format_and_versions(environment: dict[str, str]) -> None:
    step = infra_check.terraform("fmt", TERRAFORM, environment, "fmt", "-check", "-recursive")
    assert step.is_ok, step.output
    step = infra_check.check_constraints(TERRAFORM, "8.7.0")
    assert step.is_ok, step.output
    assert not infra_check.check_constraints(TERRAFORM, "9.0.0").is_ok


# What each module's own tests must catch: module, text, what it becomes, part of the message.
PLANTED = [
    ("services", "disable_on_destroy = false", "disable_on_destroy = true", "must not switch off"),
    ("network", "private_ip_google_access = true", "private_ip_google_access = false", "private"),
    ("network", 'source_tags = ["dataflow"]', 'source_ranges = ["0.0.0.0/0"]', "only tagged"),
    ("storage", '"enforced"', '"inherited"', "public access prevention"),
    ("storage", "enabled = true", "enabled = false", "must be versioned"),
    ("storage", '["_staging/"]', '["_staging/", "scores/"]', "clips and staged files only"),
    (
        "storage",
        '      age            = 14\n      matches_prefix = ["_staging/"]',
        "      age            = 14",
        "must name its prefix",
    ),
    (
        "storage",
        "roles/storage.objectCreator",
        "roles/storage.objectAdmin",
        "not be able to delete",
    ),
    (
        "storage",
        "delete_objects_from_source_after_transfer  = false",
        "delete_objects_from_source_after_transfer  = true",
        "must delete nothing",
    ),
    ("artifact_registry", "immutable_tags = true", "immutable_tags = false", "must not move"),
    ("identity", "roles/storage.objectUser", "roles/storage.admin", "do not administer"),
    ("identity", "roles/storage.objectViewer", "roles/storage.objectUser", "only read"),
    ("identity", '"roles/logging.logWriter"', '"roles/editor"', "broad role"),
    ("identity", "/${var.job_service_account}]", "/default]", "one service account"),
    ("gke", "enable_private_nodes    = true", "enable_private_nodes    = false", "private"),
    (
        "gke",
        'mode = "GKE_METADATA"\n    }\n\n    # Only',
        'mode = "GCE_METADATA"\n    }\n\n    # Only',
        "metadata server",
    ),
    (
        "gke",
        "total_min_node_count = each.value.min_nodes",
        "total_min_node_count = 1",
        "zero nodes",
    ),
    ("gke", 'key    = "fakeout.dev/spot"', 'key    = "spot"', "spot taint"),
    (
        "gke",
        "ray_operator_config {\n      enabled = true",
        "ray_operator_config {\n      enabled = false",
        "Ray operator",
    ),
    (
        "schedule",
        '["container.clusters.connect"]',
        '["container.clusters.connect", "container.pods.exec"]',
        "decide the rest",
    ),
    ("schedule", "roles/run.invoker", "roles/run.admin", "nothing else"),
    ("schedule", '"jobs.launch_rayjob"]', '"jobs.launch"]', "the tests run"),
    ("bigquery", '"CUSTOM"', '"AUTO"', "numeric-looking"),
    ("bigquery", "{${key}:STRING}", "{${key}:INTEGER}", "as text"),
    ("bigquery", "enable_list_inference = true", "enable_list_inference = false", "arrays"),
    ("bigquery", "roles/bigquery.dataViewer", "roles/bigquery.dataEditor", "may read"),
    ("dataflow", "roles/dataflow.worker", "roles/dataflow.admin", "dataflow.worker"),
    ("dataflow", '"dataflow.metrics.get"', '"iam.serviceAccounts.actAs"', "no right outside"),
    (
        "monitoring",
        'metric.labels.status=%q", "k8s_container", "${local.prefix}/runs_finished", "failed"',
        'metric.labels.status=%q", "k8s_container", "${local.prefix}/runs_finished", "done"',
        "failed runs",
    ),
    ("monitoring", 'duration = "10800s"', 'duration = "93600s"', "23.5 h"),
    ("monitoring", "threshold_value = var.max_run_age_h", "threshold_value = 260", "26 h"),
    ("budget", '["projects/${var.project_number}"]', '["projects/0"]', "this project only"),
    ("budget", '"FORECASTED_SPEND"', '"CURRENT_SPEND"', "forecast"),
]

# What the provider's schema must catch, whatever a module's tests say.
MISSPELT = [
    (
        "storage",
        "force_destroy               = false",
        "force_destory               = false",
        "Unsupported argument",
    ),
    (
        "storage",
        "  versioning {\n    enabled = true",
        "  versioning {\n    enabled = {}",
        "Inappropriate value",
    ),
    (
        "storage",
        "  location                    = var.location\n",
        "",
        "Missing required argument",
    ),
    (
        "network",
        "auto_create_subnetworks         = false",
        'auto_create_subnetworks         = false\n  self_link = "x"',
        "set by the provider only",
    ),
    (
        "gke",
        "google_container_cluster.this.id",
        "google_container_cluster.this.identity",
        "Unsupported attribute",
    ),
    (
        "network",
        'resource "google_compute_router" "this"',
        'resource "google_compute_ruter" "this"',
        "Invalid resource type",
    ),
    ("gke", "  release_channel {", "  releases {", "Unsupported block type"),
    ("gke", "  addons_config {", "  addons_config {\n  }\n  addons_config {", "Too many"),
]


@pytest.mark.parametrize(
    ("module", "text", "mistake", "message"),
    [*PLANTED, *MISSPELT],
    ids=[f"{case[0]}-{index}" for index, case in enumerate([*PLANTED, *MISSPELT])],
)
def test_planted_mistake_is_caught(
    module: str,
    text: str,
    mistake: str,
    message: str,
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    folder = tmp_path / "modules" / module
    shutil.copytree(TERRAFORM / "modules" / module, folder)
    main = folder / "main.tf"
    source = main.read_text()
    assert text in source, f"{module} no longer holds {text!r}: plant the mistake elsewhere"
    main.write_text(source.replace(text, mistake))
    step = infra_check.terraform("test", folder, environment, "test")  # validates first
    found = "" if step.is_ok else step.output
    assert message in " ".join(found.split()), found or "the mistake was not caught"


def test_every_module_has_planted_mistakes() -> None:
    modules = {path.name for path in (TERRAFORM / "modules").iterdir()}
    assert {case[0] for case in PLANTED} == modules


def test_bigquery_module_knows_the_lakes_tables() -> None:
    hint = "run: python -m tools.lake_tables"
    known = json.loads((lake_tables.MODULE / "tables.json").read_text())
    assert known == lake_tables.table_definitions(), hint
    for name, spec in TABLES.items():
        found = pq.read_schema(lake_tables.MODULE / "schemas" / f"{name}.parquet")
        assert found.equals(spec.schema, check_metadata=False), f"{name}: {hint}"


def test_read_only_arguments_are_found_in_blocks() -> None:
    inner = bindings.Block({"state": bindings.Attribute("state", "string", computed=True)})
    block = bindings.Block({}, {"part": bindings.NestedBlock("part", "list", inner)})
    value = {"part": [{"state": None}, {"state": "on"}]}
    assert list(provider.read_only_arguments(block, value)) == ["part.state"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_policies_hold_and_catch_a_planted_mistake(tmp_path: Path) -> None:
    """checkov on all of it, and on a bucket laid open; the first run fetches checkov."""
    assert infra_check.check_policies(TERRAFORM).output.splitlines()[1:] == []
    storage = tmp_path / "storage"
    shutil.copytree(TERRAFORM / "modules" / "storage", storage)
    main = storage / "main.tf"
    text = main.read_text().replace("uniform_bucket_level_access = true", "", 1)
    main.write_text(
        text.replace("  #checkov:skip=CKV_GCP_78:temporary", "  #checkov:skip=CKV_GCP_78\n  # ")
    )
    step = infra_check.check_policies(tmp_path)
    assert not step.is_ok
    assert "CKV_GCP_29" in step.output


def test_command_line_reports_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `make infra-check` runs, on one module, good and bad."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed; the modules were not checked")
    root = tmp_path / "terraform"
    shutil.copytree(TERRAFORM / "modules" / "budget", root / "modules" / "budget")
    assert infra_check.main([str(root)]) == 0
    assert "0 failed" in capsys.readouterr().out
    shutil.rmtree(root / "modules/budget/tests")
    main = root / "modules/budget/main.tf"
    main.write_text(main.read_text().replace("  display_name ", "display_name "))
    assert infra_check.main([str(root)]) == 1
    report = capsys.readouterr().out
    assert "FAIL  fmt" in report
    assert "this module has no tests" in report
    with pytest.raises(SystemExit) as wrong_usage:
        infra_check.main([str(tmp_path / "absent")])
    assert wrong_usage.value.code == 2
