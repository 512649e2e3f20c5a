"""The manifests in docs/packaging are valid, and careful, for the platforms that they are written for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monai_app import __version__
from monai_app.container.mercure import module_settings
from monai_app.settings import read_settings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "packaging"
KUBERNETES = "1.31"


def read(name: str) -> Any:
    text = (FOLDER / name).read_text("utf-8")
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def pod(name: str) -> dict[str, Any]:
    """Return the pod of a manifest; that of Argo has no schema of its own there."""
    if name == "kubernetes_job.yaml":
        return read(name)["spec"]["template"]["spec"]
    template = read(name)["spec"]["templates"][0]
    return {"containers": [{"name": "main", **template["container"]}], "volumes": template["volumes"]}


def test_the_job_is_valid():
    kubernetes_validate.validate(read("kubernetes_job.yaml"), KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["kubernetes_job.yaml", "argo_workflow_template.yaml"])
def test_pods_are_valid_and_have_no_rights(name):
    spec = pod(name)
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "osteomap"}, "spec": spec}
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    container = spec["containers"][0]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["image"] == f"osteomap:{__version__}"
    limits = yaml.safe_load((FOLDER.parents[1] / "app.yaml").read_text("utf-8"))["resources"]
    assert container["resources"]["requests"] == {"cpu": str(limits["cpu"]), "memory": limits["memory"]}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_the_workflow_of_monai_deploy_hangs_together():
    """Fields by mwm-workflow-spec.md of MONAI Deploy Workflow Manager."""
    workflow = read("monai_deploy_workflow.json")
    assert {"name", "version", "informatics_gateway", "tasks"} <= workflow.keys()
    assert len(workflow["name"]) <= 15
    assert len(workflow["informatics_gateway"]["ae_title"]) <= 16
    tasks = {task["id"]: task for task in workflow["tasks"]}
    assert [task["type"] for task in workflow["tasks"]] == ["router", "docker", "export"]
    for task in tasks.values():
        for destination in task.get("task_destinations", []):
            assert destination["name"] in tasks
    arguments = tasks["osteomap"]["args"]
    assert arguments["container_image"] == f"osteomap:{__version__}"
    assert {"server_url", "entrypoint", "command", "temp_storage_container_path"} <= arguments.keys()
    named = [part["name"] for direction in ("input", "output") for part in tasks["osteomap"]["artifacts"][direction]]
    assert set(named) <= arguments.keys()
    sent = tasks["export"]["artifacts"]["input"][0]["value"]
    assert sent == f"{{{{ context.executions.osteomap.artifacts.{named[1]} }}}}"
    assert tasks["export"]["export_destinations"][0]["name"] in workflow["informatics_gateway"]["export_destinations"]


def test_the_module_of_mercure_has_settings_that_the_image_takes(tmp_path):
    """Fields of mercure's Module (common/types.py)."""
    module = read("mercure_module.json")["osteomap"]
    assert module["docker_tag"] == f"osteomap:{__version__}"
    assert set(module) == {
        *("docker_tag", "additional_volumes", "environment", "docker_arguments", "settings", "contact", "comment"),
        *("constraints", "resources"),
    }
    (tmp_path / "task.json").write_text(json.dumps({"process": {"settings": module["settings"]}}))
    changes = module_settings(tmp_path / "task.json")
    settings = yaml.safe_load((FOLDER.parents[1] / "app.yaml").read_text("utf-8"))
    for section, values in changes.items():
        settings[section] |= values
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(settings))
    assert "pdf" in read_settings(tmp_path / "app.yaml").outputs.kinds
