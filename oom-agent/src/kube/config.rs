//! Where the API server is and who the agent is to it: a pod's service account, or a kubeconfig.

use crate::files;
use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Where the kubelet puts a service account's token and the CA (`DefaultAPITokenMountPath`).
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";
/// Bytes of a file, at most.
const FILE: u64 = 1 << 20;

/// An API server.
#[derive(Debug)]
pub struct Cluster {
    /// Its name or address, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// What stands before every path; mostly nothing.
    pub(super) prefix: String,
    /// Who its certificate is for, if not `host`.
    pub(super) server_name: Option<String>,
    /// Who signed it.
    pub(super) ca: Content,
    /// The agent's own certificate and key.
    pub(super) certificate: Option<(Content, Content)>,
    /// The agent's token.
    pub(super) token: Option<Content>,
}

/// What a file has, read again each time since it may be another one by then; or what was written in its place.
#[derive(Clone)]
pub(super) enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

// Keys and tokens are nobody's business.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Bytes(_) => f.write_str("(in the kubeconfig)"),
        }
    }
}

impl Content {
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => files::read(path, FILE),
        }
    }
}

impl Cluster {
    /// The cluster that this is a pod of. `None`: it is not, or has no token. `variable`: the environment. `root`: what stands
    /// for `/`.
    ///
    /// # Errors
    /// What Kubernetes tells its pods is not what it should be.
    pub fn around(root: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let account = root.join(ACCOUNT);
        let Some(host) = variable("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty()) else {
            return Ok(None);
        };
        if !account.join("token").exists() {
            return Ok(None);
        }
        let port = variable("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| variable("KUBERNETES_SERVICE_PORT"));
        let port = port.map_or(Ok(443), |port| port.parse());
        Ok(Some(Self {
            host,
            port: port.context("KUBERNETES_SERVICE_PORT is no port")?,
            prefix: String::new(),
            server_name: None,
            ca: Content::File(account.join("ca.crt")),
            certificate: None,
            token: Some(Content::File(account.join("token"))),
        }))
    }

    /// What a kubeconfig has as its current context.
    ///
    /// # Errors
    /// It cannot be read, or wants what the agent does not do: programs that make credentials, passwords, no TLS.
    pub fn of_kubeconfig(path: &Path) -> Result<Self> {
        let text = String::from_utf8(files::read(path, FILE)?)
            .with_context(|| format!("{}: not text", path.display()))?;
        let above = path.parent().unwrap_or(Path::new("."));
        Self::of_text(&text, above).with_context(|| path.display().to_string())
    }

    fn of_text(text: &str, above: &Path) -> Result<Self> {
        // What is wrong is not shown: it may be a token.
        let options = serde_saphyr::options! { with_snippet: false };
        let all: Value = serde_saphyr::from_str_with_options(text, options).context("not a kubeconfig")?;
        ensure!(all["clusters"].is_array(), "not a kubeconfig: no clusters in it");
        let context = named(&all, "contexts", &all["current-context"], "context")?;
        let cluster = named(&all, "clusters", &context["cluster"], "cluster")?;
        // Who asks without a user's name has no credentials.
        let user = if context["user"].is_null() {
            &Value::Null
        } else {
            named(&all, "users", &context["user"], "user")?
        };
        ensure!(
            cluster["insecure-skip-tls-verify"] != true,
            "insecure-skip-tls-verify: the agent talks to no server that it cannot tell from another; give it the CA"
        );
        ensure!(
            ["exec", "auth-provider", "username"].iter().all(|key| user[key].is_null()),
            "exec, auth-provider and passwords are not supported: use a token (tokenFile) or a client certificate"
        );
        let uri: http::Uri =
            cluster["server"].as_str().unwrap_or_default().parse().context("server: not a URL")?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        ensure!(uri.scheme_str() == Some("https") && !host.is_empty(), "server: not https://HOST");
        let file = |value: &Value| value.as_str().map(|file| Content::File(above.join(file)));
        let given = |of: &Value, key: &str| match of[format!("{key}-data")].as_str() {
            Some(data) => match BASE64_STANDARD.decode(data.trim()) {
                Ok(bytes) => Ok(Some(Content::Bytes(bytes))),
                Err(error) => Err(anyhow::anyhow!("{key}-data: not base64 ({error})")),
            },
            None => Ok(file(&of[key])),
        };
        let certificate = match (given(user, "client-certificate")?, given(user, "client-key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => bail!("client-certificate and client-key: one without the other"),
        };
        let token = user["token"].as_str().map(|token| Content::Bytes(token.as_bytes().to_vec()));
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(443),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            server_name: cluster["tls-server-name"].as_str().map(str::to_owned),
            ca: given(cluster, "certificate-authority")?.context("no certificate-authority in it")?,
            certificate,
            token: file(&user["tokenFile"]).or(token),
        })
    }

    /// Where it is, for a person.
    pub fn address(&self) -> String {
        let Self { host, port, prefix, .. } = self;
        format!("https://{}:{port}{prefix}", bracketed(host))
    }

    /// Its port, for the sandbox.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What has to be readable for as long as it is asked: directories, since files are replaced rather than written.
    pub fn reads(&self) -> Vec<PathBuf> {
        let Self { ca, certificate, token, .. } = self;
        let own = certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files = [ca].into_iter().chain(own).chain(token).filter_map(|content| match content {
            Content::File(path) => path.parent().map(|above| Path::new(".").join(above)),
            Content::Bytes(_) => None,
        });
        files.collect()
    }

    /// Whether its name has to be looked up.
    pub fn resolves(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

/// An address as a part of a URL.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// What a list of a kubeconfig has by this name.
fn named<'a>(all: &'a Value, list: &str, name: &Value, kind: &str) -> Result<&'a Value> {
    let mut entries = all[list].as_array().into_iter().flatten();
    let found = entries.find(|it| it["name"] == *name).map(|it| &it[kind]);
    found.with_context(|| format!("no {kind} {name} in it"))
}

#[cfg(test)]
mod tests;
