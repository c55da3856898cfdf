//! With TLS: whose certificates are good, and the agent's own.

use crate::{
    collector::{BOTH, Collector, Protocol},
    owner::Owner,
};
use oom_agent::otlp::Reason;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A CA, and what it has signed.
struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("otlp-ca-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(dir.join("ca.pem"), certificate.pem()).expect("a file");
        let der = certificate.der().clone();
        Self { dir, issuer: Issuer::new(params, key), certificate: der }
    }

    /// A certificate for localhost and its key.
    fn sign(&self) -> (String, String, CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let der = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (certificate.pem(), key.serialize_pem(), certificate.der().clone(), der)
    }

    /// The server's part. `certified`: only who has a certificate may come.
    fn server(&self, protocol: Protocol, certified: bool) -> Arc<ServerConfig> {
        let (_, _, certificate, key) = self.sign();
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = if certified {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.clone()).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![certificate], key).expect("they fit");
        config.alpn_protocols =
            vec![if protocol == Protocol::Grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Arc::new(config)
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.dir.join(file).display())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[tokio::test]
async fn only_whom_the_ca_has_signed_is_told() {
    for protocol in BOTH {
        let authority = Authority::new(&format!("good-{protocol:?}"));
        let collector = Collector::start_with(protocol, Some(authority.server(protocol, false)));
        let mut owner = Owner::new(&collector.url(), protocol, &[&authority.flag("otlp-ca-file", "ca.pem")]);
        let ids = owner.put(2);
        owner.until(|owner| owner.sent() == 2).await;
        assert_eq!(collector.ids(), ids);

        let other = Authority::new(&format!("other-{protocol:?}"));
        let mut owner = Owner::new(&collector.url(), protocol, &[&other.flag("otlp-ca-file", "ca.pem")]);
        owner.put(1);
        owner.until(|owner| owner.failures(Reason::Unreachable) == 1).await;
        let failure = owner.reports[0].failure.as_ref().expect("it failed");
        assert!(
            failure.message.contains("no TLS with") && failure.message.contains("certificate"),
            "{failure:?}"
        );
        assert_eq!(collector.ids().len(), 2);
    }
}

#[tokio::test]
async fn a_collector_may_ask_for_a_certificate() {
    for protocol in BOTH {
        let authority = Authority::new(&format!("mutual-{protocol:?}"));
        let collector = Collector::start_with(protocol, Some(authority.server(protocol, true)));
        let ca = authority.flag("otlp-ca-file", "ca.pem");
        let mut owner = Owner::new(&collector.url(), protocol, &[&ca]);
        owner.put(1);
        owner.until(|owner| owner.failures(Reason::Unreachable) == 1).await;

        let (certificate, key, ..) = authority.sign();
        fs::write(authority.dir.join("own.pem"), certificate).expect("a file");
        fs::write(authority.dir.join("own.key"), key).expect("a file");
        let own =
            [ca, authority.flag("otlp-cert-file", "own.pem"), authority.flag("otlp-key-file", "own.key")];
        let own: Vec<_> = own.iter().map(String::as_str).collect();
        let mut owner = Owner::new(&collector.url(), protocol, &own);
        let ids = owner.put(1);
        owner.until(|owner| owner.sent() == 1).await;
        assert_eq!(collector.ids(), ids);
    }
}

#[tokio::test]
async fn files_that_are_missing_are_named_at_the_start() {
    for flag in ["otlp-ca-file", "otlp-headers-file"] {
        let flag = format!("--{flag}=/nonexistent/file");
        let Err(error) = Owner::try_new("https://localhost:1", Protocol::Http, &[&flag]) else {
            panic!("{flag} is taken")
        };
        assert!(format!("{error:#}").contains("cannot read /nonexistent/file"), "{error:#}");
    }
}
