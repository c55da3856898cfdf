//! TLS as the configuration wants it.

use super::{
    config::{Client, Pem, Tls, Version},
    read,
};
use crate::tls;
use anyhow::{Context as _, Result};
use rustls::{
    ServerConfig, SupportedCipherSuite,
    crypto::{CryptoProvider, ring::default_provider},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// Reads certificates and keys.
///
/// # Errors
/// A file that cannot be read, or is not what it should be.
pub(super) fn server(wanted: &Tls) -> Result<ServerConfig> {
    let provider = Arc::new(provider(wanted));
    let versions: Vec<_> = wanted
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
    let builder = match &wanted.client {
        None => builder.with_no_client_auth(),
        Some(Client { ca, optional }) => {
            let ca = pem(ca)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(ca.roots()?.into(), provider);
            let verifier = if *optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().with_context(|| ca.name.clone())?)
        }
    };
    let (cert, key) = (pem(&wanted.cert)?, pem(&wanted.key)?);
    let mut config = builder
        .with_single_cert(cert.certificates()?, key.key()?)
        .with_context(|| format!("{} and {} do not fit", cert.name, key.name))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = wanted.prefer_server;
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

fn pem(pem: &Pem) -> Result<tls::Pem> {
    let (bytes, name) = match pem {
        Pem::File(key, path) => (
            read(path).with_context(|| format!("tls_server_config: {key}"))?,
            format!("tls_server_config: {key} {}", path.display()),
        ),
        Pem::Text(text) => (text.clone().into_bytes(), "tls_server_config: what stands in it".to_owned()),
    };
    Ok(tls::Pem { bytes, name })
}
