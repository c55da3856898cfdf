//! TLS to the collector: whose certificates are good, and the agent's own.

use super::settings::{Protocol, Settings};
use crate::{
    files,
    tls::{self, Pem},
};
use anyhow::{Result, ensure};
use rustls::{ClientConfig, RootCertStore};
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
            Roots::File(path) => Arc::new(pem(path)?.roots()?),
        };
        let own = match &self.identity {
            None => None,
            Some((certificate, key)) => Some((pem(certificate)?, pem(key)?)),
        };
        Ok(Arc::new(tls::client(roots, own.as_ref(), self.alpn)?))
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

fn pem(path: &Path) -> Result<Pem> {
    Ok(Pem { bytes: files::read(path, FILE)?, name: path.display().to_string() })
}
