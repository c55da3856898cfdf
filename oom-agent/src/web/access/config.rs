//! The web configuration file that Prometheus' exporters share (prometheus/exporter-toolkit, docs/web-configuration.md).
//! Pure: text to what it says.

use anyhow::{Result, bail, ensure};
use axum::http::{HeaderName, HeaderValue};
use bcrypt::HashParts;
use rustls::{CipherSuite, NamedGroup};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The most that bcrypt may cost: about 2 s of a processor for a password.
const COST: u32 = 15;

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) tls: Option<Tls>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// bcrypt hashes by user.
    pub(super) users: BTreeMap<String, String>,
}

/// TLS.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) cert: Pem,
    pub(super) key: Pem,
    pub(super) client: Option<Client>,
    pub(super) versions: Vec<Version>,
    /// Of TLS 1.2, in order of preference. Empty: all that are good.
    pub(super) cipher_suites: Vec<CipherSuite>,
    /// In order of preference. Empty: all that are good.
    pub(super) curves: Vec<NamedGroup>,
    pub(super) prefer_server: bool,
}

/// Whom clients' certificates are to be from.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) ca: Pem,
    /// Also who has none may come.
    pub(super) optional: bool,
}

/// Something in PEM.
#[derive(Debug)]
pub(super) enum Pem {
    /// In a file; the key that names it.
    File(&'static str, PathBuf),
    Text(String),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "TLS10")]
    Tls10,
    #[serde(rename = "TLS11")]
    Tls11,
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    tls_server_config: Option<TlsServer>,
    http_server_config: Option<HttpServer>,
    basic_auth_users: Option<BTreeMap<String, String>>,
    rate_limit: Option<RateLimit>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TlsServer {
    cert: Option<String>,
    key: Option<String>,
    client_ca: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    client_allowed_sans: Option<Vec<String>>,
    min_version: Option<Version>,
    max_version: Option<Version>,
    cipher_suites: Option<Vec<String>>,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HttpServer {
    /// HTTP/1.1 is all there is, so there is nothing to turn off.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RateLimit {
    interval: Option<String>,
    #[serde(rename = "burst")]
    _burst: Option<u64>,
}

/// Reads a file's text. Files that it names are beside it.
///
/// # Errors
/// What is wrong, with its key. No secret is in it.
pub(super) fn parse(text: &str, dir: &Path) -> Result<Config> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: Option<File> = serde_saphyr::from_str_with_options(text, options)?;
    let File { tls_server_config, http_server_config, basic_auth_users, rate_limit } =
        file.unwrap_or_default();
    if let Some(interval) = rate_limit.and_then(|limit| limit.interval) {
        ensure!(interval.starts_with('0'), "rate_limit: oom-agent cannot limit rates; leave it out");
    }
    let users = basic_auth_users.unwrap_or_default();
    for (user, hash) in &users {
        let cost = hash.parse::<HashParts>().map(|parts| parts.get_cost());
        ensure!(!user.contains(':'), "basic_auth_users: {user}: a name cannot have a colon");
        match cost {
            Ok(cost) if cost <= COST => {}
            Ok(cost) => bail!("basic_auth_users: {user}: a cost of {cost} is too slow, at most {COST}"),
            Err(_) => bail!("basic_auth_users: {user}: not a bcrypt hash (htpasswd -nBC 10 {user})"),
        }
    }
    let headers = http_server_config.and_then(|http| http.headers).unwrap_or_default();
    Ok(Config {
        tls: tls_server_config.map_or(Ok(None), |tls| tls.read(dir))?,
        headers: read_headers(headers)?,
        users,
    })
}

impl TlsServer {
    fn read(self, dir: &Path) -> Result<Option<Tls>> {
        let pem = |key, file_key, text: Option<String>, file: Option<PathBuf>| match (
            text.filter(|text| !text.is_empty()),
            file.filter(|file| !file.as_os_str().is_empty()),
        ) {
            (Some(_), Some(_)) => bail!("tls_server_config: {key} and {file_key} are both given"),
            (Some(text), None) => Ok(Some(Pem::Text(text))),
            (None, Some(file)) => Ok(Some(Pem::File(file_key, dir.join(file)))),
            (None, None) => Ok(None),
        };
        let cert = pem("cert", "cert_file", self.cert, self.cert_file)?;
        let key = pem("key", "key_file", self.key, self.key_file)?;
        let ca = pem("client_ca", "client_ca_file", self.client_ca, self.client_ca_file)?;
        let kind = self.client_auth_type.unwrap_or_default();
        if cert.is_none() && key.is_none() && ca.is_none() && kind.is_empty() {
            return Ok(None);
        }
        let Some(cert) = cert else { bail!("tls_server_config: cert_file is missing") };
        let Some(key) = key else { bail!("tls_server_config: key_file is missing") };
        let client = match (kind.as_str(), ca) {
            ("" | "NoClientCert", None) => None,
            ("" | "NoClientCert", Some(_)) => {
                bail!(
                    "tls_server_config: client_ca_file without client_auth_type: RequireAndVerifyClientCert"
                )
            }
            ("RequireAndVerifyClientCert", Some(ca)) => Some(Client { ca, optional: false }),
            ("VerifyClientCertIfGiven", Some(ca)) => Some(Client { ca, optional: true }),
            ("RequireAndVerifyClientCert" | "VerifyClientCertIfGiven", None) => {
                bail!("tls_server_config: client_auth_type {kind} without client_ca_file")
            }
            ("RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert", _) => bail!(
                "tls_server_config: client_auth_type {kind} does not verify certificates and is not supported; take \
                 RequireAndVerifyClientCert"
            ),
            _ => bail!("tls_server_config: unknown client_auth_type {kind}"),
        };
        ensure!(
            self.client_allowed_sans.unwrap_or_default().is_empty(),
            "tls_server_config: client_allowed_sans is not supported by oom-agent; take a CA of its own"
        );
        let range = self.min_version.unwrap_or(Version::Tls12)..=self.max_version.unwrap_or(Version::Tls13);
        let versions: Vec<_> =
            [Version::Tls13, Version::Tls12].into_iter().filter(|it| range.contains(it)).collect();
        ensure!(
            !versions.is_empty(),
            "tls_server_config: min_version and max_version leave neither TLS12 nor TLS13"
        );
        Ok(Some(Tls {
            cert,
            key,
            client,
            versions,
            cipher_suites: names(self.cipher_suites, "cipher_suites", cipher_suite)?,
            curves: names(self.curve_preferences, "curve_preferences", curve)?,
            prefer_server: self.prefer_server_cipher_suites.unwrap_or(true),
        }))
    }
}

fn names<T>(names: Option<Vec<String>>, key: &str, of: fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let names = names.unwrap_or_default();
    let known = |name: &String| {
        of(name).ok_or_else(|| anyhow::anyhow!("tls_server_config: {key}: {name} is not supported"))
    };
    names.iter().map(known).collect()
}

/// By the name that Go and IANA have for it.
fn cipher_suite(name: &str) -> Option<CipherSuite> {
    let known = rustls::crypto::ring::ALL_CIPHER_SUITES.iter().map(rustls::SupportedCipherSuite::suite);
    // TLS 1.3 has its own, and no choice.
    known.filter(|suite| format!("{suite:?}").starts_with("TLS_")).find(|suite| format!("{suite:?}") == name)
}

/// By the name that Go has for it.
fn curve(name: &str) -> Option<NamedGroup> {
    match name {
        "X25519" => Some(NamedGroup::X25519),
        "CurveP256" => Some(NamedGroup::secp256r1),
        "CurveP384" => Some(NamedGroup::secp384r1),
        _ => None,
    }
}

/// Which headers there may be, and with which values where there are few.
const HEADERS: &[(&str, &[&str])] = &[
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

fn read_headers(headers: BTreeMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let read = |(name, value): (String, String)| {
        let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            bail!("http_server_config: headers: {name} cannot be set");
        };
        ensure!(
            values.is_empty() || values.contains(&value.as_str()),
            "http_server_config: headers: {name}: {value} is none of {}",
            values.join(", ")
        );
        let value = value.parse::<HeaderValue>();
        let value = value
            .map_err(|_| anyhow::anyhow!("http_server_config: headers: {name}: not a header's value"))?;
        Ok((name.parse()?, value))
    };
    // Blank is unset.
    headers.into_iter().filter(|(_, value)| !value.is_empty()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn read(text: &str) -> Result<Config> {
        parse(text, Path::new("/etc/oom"))
    }

    #[test]
    fn what_exporters_take_is_taken() {
        let config = read(&format!(
            "tls_server_config:\n  cert_file: tls/server.crt\n  key_file: /abs/server.key\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  min_version: TLS13\n  \
             cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences:\n  - CurveP256\n\
             http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n\
             basic_auth_users:\n  alice: {HASH}\n  4711: {HASH}\nrate_limit:\n  interval: 0\n  burst: 20\n"
        ))
        .unwrap();
        let tls = config.tls.unwrap();
        assert!(
            matches!(tls.cert, Pem::File("cert_file", path) if path == Path::new("/etc/oom/tls/server.crt"))
        );
        assert!(matches!(tls.key, Pem::File("key_file", path) if path == Path::new("/abs/server.key")));
        assert!(tls.client.is_some_and(|client| !client.optional));
        assert_eq!((tls.versions, tls.prefer_server), (vec![Version::Tls13], true));
        assert_eq!(tls.cipher_suites, [CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]);
        assert_eq!(tls.curves, [NamedGroup::secp256r1]);
        assert_eq!(config.users.keys().collect::<Vec<_>>(), ["4711", "alice"]);
        assert_eq!(config.headers.len(), 1);
        for nothing in ["", "# nothing\n", "{}", "basic_auth_users:\n", "tls_server_config: {}\n"] {
            let config = read(nothing).unwrap();
            assert!(config.tls.is_none() && config.users.is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_with_it() {
        let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n  ";
        for (text, says) in [
            ("frob: 1\n".to_owned(), "frob"),
            (format!("{tls}frob: 1\n"), "frob"),
            ("http_server_config:\n  frob: 1\n".into(), "frob"),
            ("http_server_config:\n  headers:\n    Server: x\n".into(), "Server cannot be set"),
            ("http_server_config:\n  headers:\n    X-Frame-Options: x\n".into(), "deny, sameorigin"),
            ("tls_server_config:\n  cert_file: a\n".into(), "key_file is missing"),
            ("tls_server_config:\n  key_file: a\n".into(), "cert_file is missing"),
            (format!("{tls}cert: x\n"), "cert and cert_file"),
            (format!("{tls}client_ca_file: c\n"), "client_auth_type"),
            (format!("{tls}client_auth_type: RequireAndVerifyClientCert\n"), "client_ca_file"),
            (format!("{tls}client_auth_type: RequestClientCert\n"), "does not verify"),
            (format!("{tls}client_auth_type: Sometimes\n"), "Sometimes"),
            (format!("{tls}client_allowed_sans: [x]\n"), "client_allowed_sans"),
            (format!("{tls}max_version: TLS11\n"), "neither TLS12 nor TLS13"),
            (format!("{tls}min_version: TLS14\n"), "TLS14"),
            (format!("{tls}cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n"), "TLS_RSA_WITH_RC4_128_SHA"),
            (format!("{tls}curve_preferences: [CurveP521]\n"), "CurveP521"),
            ("rate_limit:\n  interval: 1s\n".into(), "rate_limit"),
            ("basic_auth_users:\n  bob: hunter2\n".into(), "bob: not a bcrypt hash"),
            (format!("basic_auth_users:\n  bob: {}\n", HASH.replace("$10$", "$31$")), "cost of 31"),
            (format!("basic_auth_users:\n  'a:b': {HASH}\n"), "colon"),
            ("basic_auth_users:\n  bob: [hunter2\n".into(), "line"),
            ("a: 1\na: 2\n".into(), "a"),
        ] {
            let error = format!("{:#}", read(&text).map(|_| text.clone()).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("X0h1gDs"), "{error}");
        }
    }
}
