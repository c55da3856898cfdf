//! Where the API server is and who the agent is to it: a pod's service account, or a kubeconfig.

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use std::{
    fs::File,
    io::Read as _,
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
            Self::File(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.take(FILE).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
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
        let text = String::from_utf8(read(path)?).with_context(|| format!("{}: not text", path.display()))?;
        let above = path.parent().unwrap_or(Path::new("."));
        Self::of_text(&text, above).with_context(|| path.display().to_string())
    }

    fn of_text(text: &str, above: &Path) -> Result<Self> {
        // What is wrong is not shown: it may be a token.
        let options = serde_saphyr::options! { with_snippet: false };
        let Kubeconfig { current_context, contexts, clusters, users } =
            serde_saphyr::from_str_with_options(text, options).context("not a kubeconfig")?;
        let context = contexts.into_iter().find(|it| it.name == current_context);
        let context = context.with_context(|| format!("no context {current_context:?} in it"))?.context;
        let cluster = clusters.into_iter().find(|it| it.name == context.cluster);
        let cluster = cluster.with_context(|| format!("no cluster {:?} in it", context.cluster))?.cluster;
        let user = users.into_iter().find(|it| it.name == context.user).map(|it| it.user).unwrap_or_default();
        ensure!(
            !cluster.insecure_skip_tls_verify,
            "insecure-skip-tls-verify: the agent talks to no server that it cannot tell from another; give it the CA"
        );
        ensure!(
            user.exec.is_none() && user.auth_provider.is_none() && user.username.is_none(),
            "exec, auth-provider and passwords are not supported: use a token (tokenFile) or a client certificate"
        );
        let uri: http::Uri = cluster.server.parse().context("server: not a URL")?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        ensure!(uri.scheme_str() == Some("https") && !host.is_empty(), "server: not https://HOST");
        let given = |file: Option<PathBuf>, data: Option<String>| {
            let data = data.map(|data| BASE64_STANDARD.decode(data.trim()).map(Content::Bytes));
            let data = data.transpose().map_err(|error| anyhow::anyhow!("...-data: not base64 ({error})"))?;
            Ok::<_, anyhow::Error>(data.or_else(|| file.map(|file| Content::File(above.join(file)))))
        };
        let certificate = given(user.client_certificate, user.client_certificate_data)?;
        let key = given(user.client_key, user.client_key_data)?;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => bail!("client-certificate and client-key: one without the other"),
        };
        let token = match (user.token_file, user.token) {
            (Some(file), _) => Some(Content::File(above.join(file))),
            (None, Some(token)) => Some(Content::Bytes(token.into_bytes())),
            (None, None) => None,
        };
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(443),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            server_name: cluster.tls_server_name,
            ca: given(cluster.certificate_authority, cluster.certificate_authority_data)?
                .context("no certificate-authority in it")?,
            certificate,
            token,
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

    /// What has to be readable for as long as it is asked: directories, since files are replaced rather than written; and
    /// what says how a name is resolved.
    pub fn reads(&self) -> Vec<PathBuf> {
        let Self { host, ca, certificate, token, .. } = self;
        let own = certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files = [ca].into_iter().chain(own).chain(token).filter_map(|content| match content {
            Content::File(path) => path.parent().map(|above| Path::new(".").join(above)),
            Content::Bytes(_) => None,
        });
        let named = host.parse::<IpAddr>().is_err();
        let resolver = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];
        files.chain(resolver.iter().filter(|_| named).map(PathBuf::from)).collect()
    }
}

/// An address as a part of a URL.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<NamedContext>,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct ClusterEntry {
    server: String,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests;
