//! TLS, passwords and tokens, over connections.

use super::{
    api::{Shared, shared_by},
    *,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use std::fs;
use tokio_rustls::TlsConnector;

const TOKEN: &str = "0123456789abcdef0123";

/// A CA of the test's own.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key of somebody.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// Says something as a client that knows this CA, with a certificate or without.
    async fn say(
        &self,
        address: SocketAddr,
        request: &[u8],
        of: Option<&(String, String)>,
    ) -> Option<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.0.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match of {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                config
                    .with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("node.example").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        stream.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it ends").ok()?;
        Some(String::from_utf8(answer).unwrap())
    }
}

/// Files that say who may come.
fn files(config: &str) -> TestRoot {
    TestRoot::new().file("web.yml", config).file("token", &format!("{TOKEN}\n"))
}

fn access(dir: &TestRoot, token: bool) -> Result<Arc<Access>> {
    let token = token.then(|| dir.path().join("token"));
    Access::open(Some(&dir.path().join("web.yml")), token.as_deref()).map(Arc::new)
}

fn serve_by(access: Arc<Access>) -> (SocketAddr, TestRoot, Shared) {
    shared_by(1, access, Patience::default())
}

fn with(path: &str, authorization: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n")
        .into_bytes()
}

fn basic(user: &str, password: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn a_password_is_asked_for_everywhere() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let dir = files(&format!("basic_auth_users:\n  alice: {hash}\n"));
    let (address, _store, shared) = serve_by(access(&dir, false).unwrap());
    for path in ["/metrics", "/healthz", "/api/v1/incidents", "/", "/api/v1/openapi.json"] {
        let refused = say(address, &get(path)).await;
        assert_eq!(status(&refused), 401, "{path}");
        assert!(refused.contains("www-authenticate: Basic realm=\"oom-agent\""), "{refused}");
        assert_eq!(status(&say(address, &with(path, &basic("alice", "wrong"))).await), 401);
        assert_eq!(status(&say(address, &with(path, &basic("eve", "secret"))).await), 401);
        assert_eq!(status(&say(address, &with(path, "Bearer secret")).await), 401);
        assert_eq!(status(&say(address, &with(path, &basic("alice", "secret"))).await), 200, "{path}");
    }
    assert_eq!(shared.counts().refused_logins, 20);
}

#[tokio::test]
async fn a_token_is_asked_for_but_not_of_prometheus() {
    let dir = files("http_server_config:\n  headers:\n    X-Frame-Options: deny\n");
    let (address, _store, _shared) = serve_by(access(&dir, true).unwrap());
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(status(&say(address, &get(path)).await), 200, "{path}");
    }
    for path in ["/api/v1/incidents", "/api/v1/rank", "/", "/any", "/metrics/", "//metrics", "/metrics%20"] {
        let refused = say(address, &get(path)).await;
        assert_eq!(status(&refused), 401, "{path}");
        assert!(refused.contains("www-authenticate: Bearer") && refused.contains("www-authenticate: Basic"));
        assert!(refused.contains("x-frame-options: deny\r\n"), "{refused}");
        assert_eq!(status(&say(address, &with(path, "Bearer 0123456789abcdef0124")).await), 401, "{path}");
    }
    for good in [format!("Bearer {TOKEN}"), basic("any", TOKEN)] {
        assert_eq!(status(&say(address, &with("/api/v1/incidents", &good)).await), 200);
    }
}

#[tokio::test]
async fn a_website_cannot_ask_by_its_own_name() {
    let dir = files("");
    let evil = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: evil.example:9402\r\nConnection: close\r\n{more}\r\n")
            .into_bytes()
    };
    let (open, _store, _shared) = serve_by(access(&dir, false).unwrap());
    for path in ["/", "/metrics", "/api/v1/incidents", "/api/v1/events"] {
        let refused = say(open, &evil(path, "")).await;
        assert_eq!(status(&refused), 421, "{path}");
        assert!(refused.contains("DNS rebinding"), "{refused}");
    }
    assert_eq!(status(&say(open, &get("/")).await), 200);
    // A browser does not know the token of another name.
    let (guarded, _store, _shared) = serve_by(access(&dir, true).unwrap());
    assert_eq!(status(&say(guarded, &evil("/api/v1/incidents", "")).await), 401);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(status(&say(guarded, &evil("/api/v1/incidents", &bearer)).await), 200);
}

#[tokio::test]
async fn tls_is_spoken_and_certificates_change_while_it_runs() {
    let ca = Ca::new();
    let (cert, key) = ca.issue("node.example");
    let config = "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n";
    let dir = files(config).file("tls.crt", &cert).file("tls.key", &key);
    let access = access(&dir, false).unwrap();
    assert!(access.encrypts());
    assert_eq!(access.directories(), [dir.path()]);
    let (address, _store, _shared) = serve_by(Arc::clone(&access));
    let answer = ca.say(address, &get("/api/v1/incidents"), None).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"headline\""), "{answer}");
    // Who does not speak it learns nothing.
    assert!(!say(address, &get("/healthz")).await.contains("HTTP"));

    let other = Ca::new();
    let (cert, key) = other.issue("node.example");
    fs::write(dir.path().join("tls.crt"), cert).unwrap();
    let error = format!("{:#}", access.reload().unwrap_err());
    assert!(error.contains("do not fit"), "{error}");
    assert!(ca.say(address, &get("/healthz"), None).await.is_some(), "the old ones still hold");
    fs::write(dir.path().join("tls.key"), key).unwrap();
    access.reload().unwrap();
    assert!(ca.say(address, &get("/healthz"), None).await.is_none());
    assert!(other.say(address, &get("/healthz"), None).await.unwrap().ends_with("ok\n"));
}

#[tokio::test]
async fn who_has_no_certificate_of_the_ca_does_not_come_in() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (cert, key) = ca.issue("node.example");
    let config = "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n  client_ca_file: ca.crt\n  \
                  client_auth_type: RequireAndVerifyClientCert\n";
    let dir = files(config).file("tls.crt", &cert).file("tls.key", &key).file("ca.crt", &ca.0.pem());
    let (address, _store, _shared) = serve_by(access(&dir, false).unwrap());
    let answer = ca.say(address, &get("/healthz"), Some(&ca.issue("scraper"))).await;
    assert!(answer.is_some_and(|answer| answer.ends_with("ok\n")));
    for (of, who) in [(None, "none"), (Some(other.issue("scraper")), "another CA's")] {
        let answer = ca.say(address, &get("/healthz"), of.as_ref()).await.unwrap_or_default();
        assert!(!answer.contains("HTTP"), "{who}: {answer}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said() {
    let ca = Ca::new();
    let (cert, key) = ca.issue("node.example");
    let tls = "tls_server_config:\n  cert_file: tls.crt\n  key_file: tls.key\n";
    for (dir, says) in [
        (files("frob: 1\n"), "frob"),
        (files(tls).file("tls.crt", &cert), "key_file: cannot read"),
        (files(tls).file("tls.crt", &cert).file("tls.key", "none"), "no private key in PEM"),
        (files(tls).file("tls.crt", "none").file("tls.key", &key), "no certificate in PEM"),
        (files(tls).file("tls.crt", &cert).file("tls.key", &ca.issue("x").1), "do not fit"),
        (files("").file("token", "short"), "at least 16"),
        (files("").file("token", "two words are no token"), "at least 16"),
    ] {
        let error = format!("{:#}", access(&dir, true).unwrap_err());
        assert!(error.contains(says) && error.contains(dir.path().to_str().unwrap()), "{says}: {error}");
    }
    let nowhere = Access::open(None, Some("/no/such/file".as_ref())).unwrap_err();
    assert!(format!("{nowhere:#}").contains("/no/such/file: No such file"), "{nowhere:#}");
}

#[test]
fn an_open_door_is_said() {
    let (inside, outside) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
    let nobody_asked = Access::open(None, None).unwrap();
    assert_eq!(nobody_asked.warnings(inside), [""; 0]);
    assert!(nobody_asked.warnings(outside)[0].contains("anybody"));
    let dir = files("");
    let with_token = access(&dir, true).unwrap();
    let warnings = with_token.warnings(outside);
    assert!(warnings[0].contains("unencrypted") && warnings[1].contains("everybody"), "{warnings:?}");
}
