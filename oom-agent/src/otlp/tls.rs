//! TLS to the collector: whose certificates are good, and the agent's own.

use super::settings::{Protocol, Settings};
use crate::files;
use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of a file, at most: some bundles of CAs are large.
const FILE: u64 = 1 << 20;

/// How connections are encrypted.
#[derive(Debug)]
pub struct Tls {
    roots: Roots,
    identity: Option<(PathBuf, PathBuf)>,
    alpn: &'static [u8],
}

#[derive(Debug)]
enum Roots {
    /// The system's, as they were at the start.
    System(Arc<RootCertStore>),
    /// In this file.
    File(PathBuf),
}

impl Tls {
    /// Reads all that there is, so that what is missing is known at the start.
    ///
    /// # Errors
    /// A file that cannot be read or is not good, or no certificate of a CA at all.
    pub fn open(settings: &Settings) -> Result<Self> {
        let roots = match &settings.ca_file {
            Some(path) => Roots::File(path.clone()),
            None => Roots::System(Arc::new(system()?)),
        };
        let alpn: &[u8] = match settings.protocol {
            Protocol::Grpc => b"h2",
            Protocol::Http => b"http/1.1",
        };
        let tls = Self { roots, identity: settings.identity.clone(), alpn };
        tls.config()?;
        Ok(tls)
    }

    /// For one connection: files may have changed.
    ///
    /// # Errors
    /// One cannot be read or is not good.
    pub fn config(&self) -> Result<Arc<ClientConfig>> {
        let roots = match &self.roots {
            Roots::System(roots) => Arc::clone(roots),
            Roots::File(path) => Arc::new(file(path)?),
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .context("no version of TLS to agree on")?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert)?;
                let key_of = PrivateKeyDer::from_pem_slice(&files::read(key, FILE)?);
                let key_of = key_of.map_err(|error| anyhow!("{}: no key in PEM ({error})", key.display()))?;
                let fits = builder.with_client_auth_cert(chain, key_of);
                fits.with_context(|| format!("{} and {} do not fit", cert.display(), key.display()))?
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        // Connections are few, and far between.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some that the system trusts are too old for this.
    let (good, _) = roots.add_parsable_certificates(found.certs);
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    ensure!(good > 0, "this system has no certificates of CAs{why}: --otlp-ca-file names some");
    Ok(roots)
}

fn file(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).with_context(|| format!("{}: not the certificate of a CA", path.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = files::read(path, FILE)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| anyhow!("{}: not PEM ({error})", path.display()))?;
    ensure!(!all.is_empty(), "{}: no certificate in PEM in it", path.display());
    Ok(all)
}
