#!/usr/bin/env python3
"""Renders what is in deploy/ and checks it. `cargo xtask deploy` runs this with what requirements.txt names.

One line for each check: ok, FAIL or skip. Exit status 1 if one failed.
"""

import copy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

DEPLOY = Path(__file__).resolve().parent.parent
NAMESPACE = "oom-agent"
# From here on a namespace can be labelled for Pod Security. Also `kubeVersion` of the chart.
OLDEST = "1.25.0"
# The chart's values that make the same as an overlay.
OVERLAYS = {
    "default": {},
    "api-access": {"apiAccess": True},
    "restricted": {"hostPID": False, "runtimeSocketDir": "", "capabilities": ["BPF", "PERFMON"]},
    "pod-monitor": {"podMonitor": {"enabled": True}},
    "otlp": {"otlp": {"endpoint": "http://otel-collector.observability:4317"}},
    "cri-o": {
        "runtimeSocketDir": "/run/crio",
        "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"type": "spc_t"},
    },
}
# What the agent asks of the API server. It reads no single pod, no Event, and nothing of nodes.
API_RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]
# What the chart has to refuse.
REFUSED = [
    {"apiAcess": True},
    {"apiAccess": "yes"},
    {"privileged": True},
    {"capabilities": ["BPF"]},
    {"capabilities": ["BPF", "PERFMON", "SYS_ADMIN"]},
    {"image": {"repository": "x", "pullPolicy": "Sometimes"}},
    {"image": {"repository": "x", "pullPolicy": "Always", "digest": "latest"}},
    {"listen": "9758"},
    {"otlp": {"endpoint": "otel-collector:4317"}},
    {"otlp": {"endpoint": "http://otel-collector"}},
    {"kubeLabels": ["a b"]},
    {"kubeEvents": "no"},
]

counts = {"ok": 0, "FAIL": 0, "skip": 0}


def say(verdict, what, why=""):
    counts[verdict] += 1
    print(f"  {verdict:4}  {what}{': ' if why else ''}{why}")


def expect(what, problems):
    say("FAIL" if problems else "ok", what, "; ".join(problems))


def render(overlay):
    tool = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    text = subprocess.run([*tool, str(overlay)], check=True, capture_output=True, text=True).stdout
    return [it for it in yaml.safe_load_all(text) if it]


def schema_problems(objects):
    """What the schemas of the oldest and the newest Kubernetes say, unknown fields included."""
    problems = []
    for it in objects:
        name = f"{it['kind']} {it['metadata']['name']}"
        if it["apiVersion"].startswith("monitoring.coreos.com/"):
            continue
        for version in (OLDEST, kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(it, version, strict=True)
            except Exception as error:  # pylint: disable=broad-except
                problems.append(f"{name}, {version}: {error}")
    return problems


def permission_problems(overlay, objects):
    """The permissions are those that docs/kubernetes.md lists, and no more."""
    daemon_set = next(it for it in objects if it["kind"] == "DaemonSet")
    pod = daemon_set["spec"]["template"]["spec"]
    [container] = pod["containers"]
    security = container["securityContext"]
    problems = []

    def must(what, holds):
        if not holds:
            problems.append(what)

    must("privileged", security["privileged"] is False)
    must("allowPrivilegeEscalation", security["allowPrivilegeEscalation"] is False)
    must("the root is writable", security["readOnlyRootFilesystem"] is True)
    must("host network", not pod.get("hostNetwork") and not pod.get("hostIPC"))
    expected = ["BPF", "PERFMON"] + ["SYSLOG", "SYS_RESOURCE"] * (overlay != "restricted")
    must("capabilities", security["capabilities"] == {"drop": ["ALL"], "add": expected})
    profile = "Unconfined" if overlay == "cri-o" else "RuntimeDefault"
    must("seccomp", security["seccompProfile"] == {"type": profile})
    writable = [it["name"] for it in container["volumeMounts"] if not it.get("readOnly")]
    must(f"writable: {writable}", writable == ["state"])
    must("a token", pod["automountServiceAccountToken"] == (overlay == "api-access"))
    rules = [it["rules"] for it in objects if it["kind"] == "ClusterRole"]
    must("rules", rules == ([API_RULES] if overlay == "api-access" else []))
    mounted = {it["name"] for it in container["volumeMounts"]}
    must("volumes", mounted == {it["name"] for it in pod["volumes"]})
    must("priority", pod["priorityClassName"] == "system-node-critical")
    must("limits", "cpu" not in container["resources"]["limits"])
    return problems


def plain(objects):
    """Without what only one of the two ways has: the namespace, Helm's own labels, the order."""
    result = {}
    for it in copy.deepcopy(objects):
        if it["kind"] == "Namespace":
            continue
        template = it.get("spec", {}).get("template", {})
        for metadata in (it["metadata"], template.get("metadata", {})):
            for label in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
                metadata.get("labels", {}).pop(label, None)
        pod = template.get("spec", {})
        if pod:
            pod["volumes"].sort(key=lambda volume: volume["name"])
            for container in pod["containers"]:
                container["volumeMounts"].sort(key=lambda mount: mount["mountPath"])
        result[it["kind"]] = it
    return result


def differences(path, one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            found
            for key in sorted(one.keys() | other.keys())
            for found in differences(f"{path}.{key}", one.get(key), other.get(key))
        ]
    return [] if one == other else [f"{path}: {one!r} and {other!r}"]


def chart(rendered):
    try:
        from helm import Helm  # pylint: disable=import-outside-toplevel
    except ImportError as error:
        say("skip", "chart", f"{error} (it takes Python 3.12 or newer; this is {sys.version.split()[0]})")
        return
    helm = Helm(DEPLOY / "helm/oom-agent", NAMESPACE)
    try:
        # Severity 1 is information (no icon), 2 a warning, 3 an error.
        messages = [str(it) for it in helm.lint.get("Messages") or [] if it["Severity"] >= 2]
        expect("chart: helm lint", messages + [str(it) for it in helm.lint.get("Errors") or []])
        for overlay, values in OVERLAYS.items():
            objects = helm.render(values)
            expect(f"chart as {overlay}: schemas", schema_problems(objects))
            if overlay in rendered:
                found = differences("", plain(rendered[overlay]), plain(objects))
                expect(f"chart as {overlay}: the same as the overlay", found)
        everything = {
            "endpoint": "https://gateway.example:4318",
            "resource": {"k8s.cluster.name": "prod"},
            "headersSecret": "otlp",
            "caConfigMap": "ca",
        }
        objects = helm.render({"apiAccess": True, "otlp": everything})
        found = schema_problems(objects)
        pod = next(it for it in objects if it["kind"] == "DaemonSet")["spec"]["template"]["spec"]
        wanted = [
            "--otlp-endpoint=https://gateway.example:4318",
            "--otlp-resource=k8s.cluster.name=prod",
            "--otlp-headers-file=/etc/oom-agent/otlp/headers",
            "--otlp-ca-file=/etc/oom-agent/otlp-ca/ca.crt",
        ]
        args = [it for it in pod["containers"][0]["args"] if it.startswith("--otlp")]
        found += [] if args == wanted else [f"{args}"]
        mounted = {it["name"] for it in pod["containers"][0]["volumeMounts"]}
        found += [] if mounted == {it["name"] for it in pod["volumes"]} else ["volumes"]
        policy = next(it for it in objects if it["kind"] == "NetworkPolicy")
        ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
        found += [] if ports == [443, 6443, 4318, 53, 53] else [f"{ports}"]
        expect("chart with a collector that wants a token", found)
        helm_only = {"apiAccess": True, "kubeEvents": False, "kubeLabels": ["team"]}
        objects = helm.render(helm_only)
        found = schema_problems(objects)
        role = next(it for it in objects if it["kind"] == "ClusterRole")
        if role["rules"] != API_RULES[:1]:
            found.append("it may write Events")
        pod = next(it for it in objects if it["kind"] == "DaemonSet")["spec"]["template"]["spec"]
        if pod["containers"][0]["args"][-2:] != ["--kube-label=team", "--no-kube-events"]:
            found.append(f"{pod['containers'][0]['args']}")
        expect("chart with labels and without Events", found)
        for values in REFUSED:
            try:
                helm.render(values)
                say("FAIL", f"chart refuses {values}", "it does not")
            except Exception as error:  # pylint: disable=broad-except
                problems = [] if "schema" in str(error) else [str(error)]
                expect(f"chart refuses {values}", problems)
    finally:
        helm.close()


def one_command(objects):
    """A user's own kustomization may set the image, which the base then has under no other name."""
    with tempfile.TemporaryDirectory() as directory:
        base = DEPLOY / "kustomize/overlays/default"
        link = Path(directory) / "base"
        shutil.copytree(DEPLOY / "kustomize", link)
        text = yaml.safe_dump(
            {
                "resources": [f"base/overlays/{base.name}"],
                "images": [
                    {"name": "localhost/oom-agent", "newName": "registry.example/oom-agent", "newTag": "1"}
                ],
            }
        )
        (Path(directory) / "kustomization.yaml").write_text(text)
        images = [
            it["spec"]["template"]["spec"]["containers"][0]["image"]
            for it in render(directory)
            if it["kind"] == "DaemonSet"
        ]
    wanted = ["registry.example/oom-agent:1"]
    expect("the image can be set", [] if images == wanted else [f"{images}, not {wanted}"])
    version = (DEPLOY / "helm/oom-agent/Chart.yaml").read_text()
    daemon_set = next(it for it in objects if it["kind"] == "DaemonSet")
    tag = daemon_set["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
    package = (DEPLOY.parent / "Cargo.toml").read_text()
    expect("one version", [] if f"appVersion: {tag}\n" in version and f'version = "{tag}"' in package else [tag])


def main():
    print(f"deploy/, against Kubernetes {OLDEST} and {kubernetes_validate.latest_version()}")
    rendered = {}
    if shutil.which("kubectl") or shutil.which("kustomize"):
        found = {it.name for it in (DEPLOY / "kustomize/overlays").iterdir()}
        expect("every overlay is known here", sorted(found ^ set(OVERLAYS)))
        for overlay in OVERLAYS:
            objects = render(DEPLOY / "kustomize/overlays" / overlay)
            rendered[overlay] = objects
            expect(f"{overlay}: schemas", schema_problems(objects))
            expect(f"{overlay}: permissions", permission_problems(overlay, objects))
        one_command(rendered["default"])
    else:
        say("skip", "overlays", "neither kubectl nor kustomize is installed")
    chart(rendered)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
