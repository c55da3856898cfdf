//! Who is killed.

use crate::cluster::{Cluster, IMAGE};
use std::fs;

const MEMORY: &str = "48Mi";
const STATIC: &str = "/etc/kubernetes/manifests";
/// The node's name ends a static pod's.
const NODE: &str = "node";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pod,
    /// A file for the kubelet.
    Static,
    Deployment,
    Job,
}

/// A workload, one of whose processes is killed.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    kind: Kind,
    /// Whether it is the container's main process.
    pub(crate) is_main: bool,
    containers: &'static str,
}

const EAT: &str = "{name: app, image: IMAGE, imagePullPolicy: Never, args: [eat], resources: {limits: {memory: MEM}, requests: {memory: 16Mi}}}";
const CHILD: &str = "{name: app, image: IMAGE, imagePullPolicy: Never, args: [child], resources: {limits: {memory: MEM}, requests: {memory: 16Mi}}}";
const GUARANTEED: &str = "{name: app, image: IMAGE, imagePullPolicy: Never, args: [eat], resources: {limits: {memory: MEM, cpu: 100m}}}";
const SECOND: &str = "{name: first, image: IMAGE, imagePullPolicy: Never, args: [rest]}, \
                      {name: second, image: IMAGE, imagePullPolicy: Never, args: [child], resources: {limits: {memory: MEM}}}";

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "main", kind: Kind::Pod, is_main: true, containers: EAT },
    Workload { name: "child", kind: Kind::Pod, is_main: false, containers: CHILD },
    Workload { name: "guaranteed", kind: Kind::Pod, is_main: true, containers: GUARANTEED },
    Workload { name: "second", kind: Kind::Pod, is_main: false, containers: SECOND },
    Workload { name: "static", kind: Kind::Static, is_main: true, containers: EAT },
    Workload { name: "statics", kind: Kind::Static, is_main: false, containers: CHILD },
    Workload { name: "web", kind: Kind::Deployment, is_main: false, containers: CHILD },
    Workload { name: "work", kind: Kind::Job, is_main: true, containers: EAT },
];

impl Workload {
    /// What its pod's name begins with.
    pub(crate) fn pod(&self, run: &str) -> String {
        let own = self.own(run);
        match self.kind {
            Kind::Pod => own,
            Kind::Static => format!("{own}-{NODE}"),
            Kind::Deployment | Kind::Job => format!("{own}-"),
        }
    }

    /// Kind and name of what makes the pod again.
    pub(crate) fn owner(&self, run: &str) -> [String; 2] {
        let own = self.own(run);
        let [kind, name] = match self.kind {
            // A static pod is the node's own.
            Kind::Pod | Kind::Static => ["-", "-"],
            Kind::Deployment => ["Deployment", &own],
            Kind::Job => ["Job", &own],
        };
        [kind.to_owned(), name.to_owned()]
    }

    fn own(&self, run: &str) -> String {
        format!("{run}-{}", self.name)
    }

    pub(crate) fn start(&self, cluster: &Cluster, run: &str) {
        let own = self.own(run);
        let containers = self.containers.replace("IMAGE", &format!("'{IMAGE}'")).replace("MEM", MEMORY);
        let spec = |restart: &str| {
            format!(
                "{{restartPolicy: {restart}, terminationGracePeriodSeconds: 0, containers: [{containers}]}}"
            )
        };
        let metadata = format!("metadata: {{name: {own}, namespace: default, labels: {{app: {own}}}}}");
        let manifest = match self.kind {
            Kind::Pod | Kind::Static => {
                format!("apiVersion: v1\nkind: Pod\n{metadata}\nspec: {}\n", spec("Never"))
            }
            Kind::Deployment => format!(
                "apiVersion: apps/v1\nkind: Deployment\n{metadata}\nspec: {{selector: {{matchLabels: {{app: {own}}}}}, \
                 template: {{metadata: {{labels: {{app: {own}}}}}, spec: {}}}}}\n",
                spec("Always")
            ),
            Kind::Job => format!(
                "apiVersion: batch/v1\nkind: Job\n{metadata}\nspec: {{backoffLimit: 0, template: {{spec: {}}}}}\n",
                spec("Never")
            ),
        };
        let file = self.file(&own);
        fs::write(&file, manifest).expect("a manifest");
        if self.kind != Kind::Static {
            let said = cluster.kubectl(&["apply", "-f", &file]);
            said.unwrap_or_else(|error| panic!("{own}: {error}"));
        }
    }

    pub(crate) fn stop(&self, cluster: &Cluster, run: &str) {
        let file = self.file(&self.own(run));
        if self.kind != Kind::Static {
            let done = cluster.kubectl(&["delete", "--wait=false", "-f", &file]);
            done.unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        fs::remove_file(file).expect("a manifest");
    }

    fn file(&self, own: &str) -> String {
        let directory = if self.kind == Kind::Static { STATIC } else { "/tmp" };
        format!("{directory}/{own}.yaml")
    }
}
