//! What servers and clients of TLS share: certificates and keys in PEM, with whose file it is that is not good; and a
//! client's configuration.

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::sync::Arc;

/// A text in PEM, and what it is called.
#[derive(Clone, Debug)]
pub struct Pem {
    /// Of a file, or what was written in its place.
    pub bytes: Vec<u8>,
    /// For whoever has to mend it.
    pub name: String,
}

impl Pem {
    /// The certificates in it.
    ///
    /// # Errors
    /// There is none.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let Self { bytes, name } = self;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        let all = all.map_err(|error| anyhow!("{name}: not PEM ({error})"))?;
        ensure!(!all.is_empty(), "{name}: no certificate in PEM in it");
        Ok(all)
    }

    /// The certificates in it, as those of whom to believe.
    ///
    /// # Errors
    /// There is none, or one is not a CA's.
    pub fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for root in self.certificates()? {
            roots.add(root).with_context(|| format!("{}: not the certificate of a CA", self.name))?;
        }
        Ok(roots)
    }

    /// The private key in it.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>> {
        let key = PrivateKeyDer::from_pem_slice(&self.bytes);
        key.map_err(|error| anyhow!("{}: no private key in PEM in it ({error})", self.name))
    }
}

/// For connections to one server that speaks `protocol`. `own`: the certificate and key that say who connects.
///
/// # Errors
/// They do not fit.
pub fn client(
    roots: impl Into<Arc<RootCertStore>>,
    own: Option<&(Pem, Pem)>,
    protocol: &[u8],
) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("no version of TLS to agree on")?
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificate.certificates()?, key.key()?)
            .with_context(|| format!("{} and {} do not fit", certificate.name, key.name))?,
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    // Connections are few, and far between.
    config.resumption = Resumption::disabled();
    Ok(config)
}
