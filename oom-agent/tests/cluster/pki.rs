//! Certificates of the cluster.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::Path;

/// `ca.pem`, `server.pem`, `server.key`, and `accounts.key` (and `.pub`), which signs service accounts' tokens.
pub(crate) fn write(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate");
    fs::write(directory.join("ca.pem"), authority.pem()).expect("a file");
    let issuer = Issuer::new(params, key);
    let names = ["127.0.0.1", "10.96.0.1", "192.0.2.1", "kubernetes.default.svc"].map(str::to_owned);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(names).expect("parameters");
    let server = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(directory.join("server.pem"), server.pem()).expect("a file");
    fs::write(directory.join("server.key"), key.serialize_pem()).expect("a file");
    let key = KeyPair::generate().expect("a key");
    fs::write(directory.join("accounts.key"), key.serialize_pem()).expect("a file");
    fs::write(directory.join("accounts.pub"), key.public_key_pem()).expect("a file");
}
