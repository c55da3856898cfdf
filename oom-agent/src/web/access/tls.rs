//! TLS as the configuration wants it.

use super::{
    config::{Client, Pem, Tls, Version},
    read,
};
use anyhow::{Context as _, Result, ensure};
use rustls::{
    RootCertStore, ServerConfig, SupportedCipherSuite,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// Reads certificates and keys.
///
/// # Errors
/// A file that cannot be read, or is not what it should be.
pub(super) fn server(tls: &Tls) -> Result<ServerConfig> {
    let provider = Arc::new(provider(tls));
    let versions: Vec<_> = tls
        .versions
        .iter()
        .map(|version| match version {
            Version::Tls13 => &TLS13,
            Version::Tls10 | Version::Tls11 | Version::Tls12 => &TLS12,
        })
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .context("tls_server_config: the cipher suites and curves leave nothing to agree on")?;
    let builder = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(Client { ca, optional }) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(ca)? {
                roots.add(root).with_context(|| format!("{}: not the certificate of a CA", ca.name()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = if *optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().with_context(|| ca.name())?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&tls.key.bytes()?)
        .map_err(|error| anyhow::anyhow!("{}: no private key in PEM in it ({error})", tls.key.name()))?;
    let mut config = builder
        .with_single_cert(certificates(&tls.cert)?, key)
        .with_context(|| format!("{} and {} do not fit", tls.cert.name(), tls.key.name()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = tls.prefer_server;
    // Who scrapes keeps its connection; nothing is remembered for who does not.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn provider(tls: &Tls) -> CryptoProvider {
    let mut provider = default_provider();
    if !tls.cipher_suites.is_empty() {
        let mut suites: Vec<SupportedCipherSuite> =
            provider.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some()).collect();
        for wanted in &tls.cipher_suites {
            suites.extend(provider.cipher_suites.iter().filter(|suite| suite.suite() == *wanted));
        }
        provider.cipher_suites = suites;
    }
    if !tls.curves.is_empty() {
        let groups = &provider.kx_groups;
        let chosen = tls.curves.iter().flat_map(|curve| groups.iter().filter(|group| group.name() == *curve));
        provider.kx_groups = chosen.copied().collect();
    }
    provider
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = pem.bytes()?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| anyhow::anyhow!("{}: not PEM ({error})", pem.name()))?;
    ensure!(!all.is_empty(), "{}: no certificate in PEM in it", pem.name());
    Ok(all)
}

impl Pem {
    fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(key, path) => read(path).with_context(|| format!("tls_server_config: {key}")),
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(key, path) => format!("tls_server_config: {key} {}", path.display()),
            Self::Text(_) => "tls_server_config: what stands in it".to_owned(),
        }
    }
}
