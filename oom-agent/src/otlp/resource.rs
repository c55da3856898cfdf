//! Where records are from: the machine and this agent, by OpenTelemetry's semantic conventions. Pure.

use super::messages::{KeyValue, Resource};

/// What is known of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Its name.
    pub node: Option<&'a str>,
    /// `uname -r`.
    pub kernel_release: Option<&'a str>,
    /// The node's name was given by Kubernetes.
    pub in_kubernetes: bool,
}

/// The resource: what is known, and what was set, which wins.
pub fn resource(about: About<'_>, set: &[(String, String)]) -> Resource {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let known = [
        ("service.name", Some("oom-agent")),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("host.name", about.node),
        ("host.arch", Some(arch)),
        ("os.type", Some("linux")),
        ("os.version", about.kernel_release),
        ("k8s.node.name", about.node.filter(|_| about.in_kubernetes)),
    ];
    let is_set = |key: &str| set.iter().any(|(set, _)| set == key);
    let known = known.into_iter().filter(|(key, _)| !is_set(key));
    let known = known.filter_map(|(key, value)| Some((key, value?)));
    let all = known.chain(set.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let pair = |(key, value): (&str, &str)| KeyValue { key: key.to_owned(), value: Some(value.into()) };
    Resource { attributes: all.map(pair).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Value;
    use super::*;

    fn pairs(resource: &Resource) -> Vec<(&str, &str)> {
        let pair = |it: &'_ KeyValue| match &it.value.as_ref().unwrap().value {
            Some(Value::Text(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        let text: Vec<_> = resource.attributes.iter().map(pair).collect();
        resource
            .attributes
            .iter()
            .map(|it| it.key.as_str())
            .zip(text.leak().iter().map(String::as_str))
            .collect()
    }

    #[test]
    fn what_is_set_wins_and_what_is_not_known_is_absent() {
        let about = About { node: Some("node-7"), kernel_release: Some("6.12.1"), in_kubernetes: true };
        let set = [("service.name", "oom"), ("k8s.cluster.name", "prod")];
        let made = resource(about, &set.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let made = pairs(&made);
        for expected in [
            ("host.name", "node-7"),
            ("k8s.node.name", "node-7"),
            ("os.version", "6.12.1"),
            ("os.type", "linux"),
            ("service.name", "oom"),
            ("k8s.cluster.name", "prod"),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ] {
            assert_eq!(made.iter().filter(|it| it.0 == expected.0).collect::<Vec<_>>(), [&expected]);
        }
        let made = resource(About { node: Some("laptop"), ..About::default() }, &[]);
        let keys: Vec<_> = made.attributes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, ["service.name", "service.version", "host.name", "host.arch", "os.type"]);
    }
}
