use super::*;
use std::fs;

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: here
preferences: {}
contexts:
- context: {cluster: c, user: u, namespace: x}
  name: here
clusters:
- name: other
  cluster: {server: 'http://127.0.0.1'}
- name: c
  cluster:
    server: https://[fd00::1]:6443/k8s/
    certificate-authority-data: Y2E=
users:
- name: u
  user:
    client-certificate: c.crt
    client-key-data: a2V5
    tokenFile: /run/token
";

fn of(text: &str) -> Result<Cluster, String> {
    Cluster::of_text(text, Path::new("/etc/kube")).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_kubeconfig_says_where_and_who() {
    let cluster = of(KUBECONFIG).unwrap();
    assert_eq!(cluster.address(), "https://[fd00::1]:6443/k8s");
    assert_eq!((cluster.host.as_str(), cluster.port(), cluster.prefix.as_str()), ("fd00::1", 6443, "/k8s"));
    assert_eq!(cluster.ca.read().unwrap(), b"ca");
    let (certificate, key) = cluster.certificate.as_ref().unwrap();
    assert!(matches!(certificate, Content::File(path) if path == Path::new("/etc/kube/c.crt")));
    assert_eq!(key.read().unwrap(), b"key");
    assert_eq!(
        cluster.reads(),
        ["./etc/kube", "./run"].map(|it| Path::new(".").join(it.trim_start_matches('.')))
    );
    assert!(!format!("{cluster:?}").contains("key"), "{cluster:?}");
    let named = of(&KUBECONFIG.replace("[fd00::1]", "api.example")).unwrap();
    assert!(named.resolves() && !cluster.resolves());
}

#[test]
fn what_the_agent_does_not_do_is_refused() {
    for (part, other, expected) in [
        ("current-context: here", "current-context: there", "no context \"there\""),
        ("cluster: c,", "cluster: d,", "no cluster \"d\""),
        ("https://[fd00::1]:6443/k8s/", "http://127.0.0.1", "not https"),
        ("https://[fd00::1]:6443/k8s/", "unix", "not https"),
        ("certificate-authority-data: Y2E=", "insecure-skip-tls-verify: true", "cannot tell from another"),
        ("certificate-authority-data: Y2E=", "x: y", "no certificate-authority"),
        ("certificate-authority-data: Y2E=", "certificate-authority-data: '%'", "not base64"),
        ("client-key-data: a2V5", "x: y", "one without the other"),
        ("tokenFile: /run/token", "exec: {command: aws, args: [x]}", "exec"),
        ("kind: Config", "kind: [", "not a kubeconfig"),
    ] {
        let text = KUBECONFIG.replace(part, other);
        assert_ne!(text, KUBECONFIG);
        let error = of(&text).unwrap_err();
        assert!(error.contains(expected) && !error.contains("a2V5"), "{other}: {error}");
    }
}

#[test]
fn a_pod_is_told_by_its_environment_and_its_files() {
    let root = std::env::temp_dir().join(format!("oom-agent-account-{}", std::process::id()));
    let account = root.join(ACCOUNT);
    let _ = fs::remove_dir_all(&root);
    let variable = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("192.0.2.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
        _ => None,
    };
    assert!(Cluster::around(&root, variable).unwrap().is_none(), "without a token");
    fs::create_dir_all(&account).unwrap();
    fs::write(account.join("token"), "one\n").unwrap();
    assert!(Cluster::around(&root, |_| None).unwrap().is_none(), "not in a cluster");
    let cluster = Cluster::around(&root, variable).unwrap().unwrap();
    assert_eq!(cluster.address(), "https://192.0.2.1:6443");
    assert_eq!(cluster.token.as_ref().unwrap().read().unwrap(), b"one\n");
    fs::write(account.join("token"), "two").unwrap();
    assert_eq!(cluster.token.as_ref().unwrap().read().unwrap(), b"two", "it rotates");
    assert!(Cluster::around(&root, |name| variable(name).map(|_| "x".to_owned())).is_err());
    fs::remove_dir_all(&root).unwrap();
}
