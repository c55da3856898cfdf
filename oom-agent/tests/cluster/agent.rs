//! The agent's pod, asked over HTTP.

use crate::cluster::Cluster;
use serde_json::Value;
use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

/// As the manifests have it.
const PORT: u16 = 9758;
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent<'a> {
    cluster: &'a Cluster,
    address: RefCell<String>,
}

impl<'a> Agent<'a> {
    /// Waits until it has metrics.
    pub(crate) fn ready(cluster: &'a Cluster) -> Self {
        let agent = Self { cluster, address: RefCell::default() };
        cluster.wait("metrics of the agent", || {
            let pods = cluster.json(&["get", "pods", "-n", "oom-agent"]);
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            let pod = pods.iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            let Some(ip) = pod.and_then(|pod| pod["status"]["podIP"].as_str()) else { return false };
            ip.clone_into(&mut agent.address.borrow_mut());
            agent.metric("oom_agent_build_info").is_some()
        });
        agent
    }

    /// The first incident with a victim in a pod whose name begins so.
    pub(crate) fn incident_of(&self, pod: &str) -> Value {
        let mut found = None;
        self.cluster.wait(&format!("incident of {pod}"), || {
            let list = self.get(&format!("/api/v1/incidents?pod={pod}*")).unwrap_or_default();
            let list: Value = serde_json::from_str(&list).unwrap_or_default();
            found = list["incidents"].as_array().and_then(|all| all.last().cloned());
            found.is_some()
        });
        let id = found.as_ref().and_then(|it| it["id"].as_str()).expect("an incident has an id").to_owned();
        let whole = self.get(&format!("/api/v1/incidents/{id}")).expect("the incident");
        serde_json::from_str(&whole).expect("JSON")
    }

    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics")?;
        let line = metrics
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn get(&self, path: &str) -> Option<String> {
        let address: IpAddr = self.address.borrow().parse().ok()?;
        let mut stream = TcpStream::connect_timeout(&(address, PORT).into(), PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: agent\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
    }
}
