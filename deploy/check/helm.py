"""Helm's own engine without a cluster: it installs into an API server that keeps nothing.

`helm template` would do, but no Helm binary is to be had from a package registry, and the library has no dry run.
"""

import asyncio
import json
import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import helm_sdkpy
import yaml

# What the server says it knows: the kinds of the chart, and what Helm keeps its releases in.
KINDS = {
    "v1": [("serviceaccounts", "ServiceAccount", True), ("secrets", "Secret", True)],
    "apps/v1": [("daemonsets", "DaemonSet", True)],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True)],
    "rbac.authorization.k8s.io/v1": [
        ("clusterroles", "ClusterRole", False),
        ("clusterrolebindings", "ClusterRoleBinding", False),
    ],
    "monitoring.coreos.com/v1": [("podmonitors", "PodMonitor", True)],
}


def _discovery(path):
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": it, "version": it.split("/")[1]} for it in KINDS if "/" in it]
        groups = [
            {"name": it["groupVersion"].split("/")[0], "versions": [it], "preferredVersion": it}
            for it in versions
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version in KINDS:
        resources = [
            {"name": name, "kind": kind, "namespaced": namespaced, "verbs": ["create", "get"]}
            for name, kind, namespaced in KINDS[version]
        ]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    if path.endswith("/secrets"):
        return {"kind": "SecretList", "apiVersion": "v1", "items": []}
    return None


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = _discovery(self.path.split("?")[0])
        status = 200 if answer else 404
        answer = answer or {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
        self._send(status, "application/json", json.dumps(answer).encode())

    def do_POST(self):
        # Whatever is made is as it was sent.
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self._send(201 if self.command == "POST" else 200, self.headers["content-type"], body)

    do_PUT = do_POST

    def _send(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Helm:
    """Lints and renders one chart."""

    def __init__(self, chart, namespace):
        self.chart = str(chart)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}
            ],
            "users": [{"name": "u", "user": {}}],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
            json.dump(config, file)
        try:
            self.config = helm_sdkpy.Configuration(namespace=namespace, kubeconfig=file.name)
            self.lint = asyncio.run(helm_sdkpy.Lint(self.config).run(self.chart))
        finally:
            self.file = file.name

    def render(self, values):
        """The objects. Raises what Helm says against the values."""
        install = helm_sdkpy.Install(self.config)
        release = asyncio.run(install.run("oom-agent", self.chart, values=values, wait=False))
        return [it for it in yaml.safe_load_all(release["manifest"]) if it]

    def close(self):
        self.server.shutdown()
        os.unlink(self.file)
