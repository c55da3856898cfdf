//! Who may connect and ask: TLS, passwords, the token. Files are read again when they change; where the new ones are no
//! good, the old ones stay.
//!
//! # Layout
//! - [`Access`]: what holds now.
//! - `config`: the file that Prometheus' exporters share; pure. `tls`: what it says of TLS.
//! - `users`: passwords and tokens.
//! - `gate`: what is asked of a request.

mod config;
mod gate;
mod tls;
mod users;

use crate::{
    files,
    note::{note, warn},
};
use anyhow::{Context as _, Result, ensure};
use axum::http::{HeaderName, HeaderValue};
pub(super) use gate::gate;
use rustls::ServerConfig;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use users::{Token, Users};

/// Bytes of a file, at most.
const FILE: u64 = 256 << 10;
/// Files are looked at no more often than this.
const LOOK: Duration = Duration::from_secs(10);
/// Characters of a token, at least: too many to guess.
const TOKEN: usize = 16;

/// Who may connect and ask.
#[derive(Debug)]
pub struct Access {
    config: Option<PathBuf>,
    token: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    /// The files that they are of, as they were.
    files: Vec<(PathBuf, Stamp)>,
    looked: Instant,
}

/// What tells a file from what it was: device, inode, size, time of the last change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What holds.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Only who has a certificate may come.
    certified: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
    token: Option<Token>,
}

impl Rules {
    /// Nothing is asked of anybody.
    pub(super) fn are_open(&self) -> bool {
        self.users.is_empty() && self.token.is_none() && !self.certified
    }
}

impl Access {
    /// Everybody, or as files say: `config` is `--web-config`, `token` `--api-token-file`.
    ///
    /// # Errors
    /// A file cannot be read or is not good.
    pub fn open(config: Option<&Path>, token: Option<&Path>) -> Result<Self> {
        let (config, token) = (config.map(Path::to_owned), token.map(Path::to_owned));
        let (rules, files) = load(config.as_deref(), token.as_deref());
        let state = State { rules: Arc::new(rules?), files, looked: Instant::now() };
        Ok(Self { config, token, state: Mutex::new(state) })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// One cannot be read or is not good. What held still holds.
    pub fn reload(&self) -> Result<()> {
        self.state().load(self)
    }

    /// What has to be readable for [`Self::reload`]: directories, since files are replaced rather than written. Where a
    /// file is a link, also that of what it leads to.
    pub fn directories(&self) -> Vec<PathBuf> {
        let files = self.state().files.clone();
        let paths = files.into_iter().flat_map(|(path, _)| [path.canonicalize().ok(), Some(path)]).flatten();
        let mut all: Vec<_> = paths.filter_map(|path| Some(Path::new(".").join(path.parent()?))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether connections are encrypted.
    pub fn encrypts(&self) -> bool {
        self.state().rules.tls.is_some()
    }

    /// What an operator should know before the first one connects.
    pub fn warnings(&self, address: SocketAddr) -> Vec<String> {
        let state = self.state();
        let mut warnings = Vec::new();
        let outside = !address.ip().is_loopback();
        if outside && state.rules.are_open() {
            warnings.push(format!(
                "{address} can be reached from other machines, and anybody who does can read incidents, which name \
                 processes: --web-config asks for passwords or certificates, --api-token-file for a token"
            ));
        } else if outside && state.rules.tls.is_none() {
            warnings.push(format!(
                "passwords and tokens are sent to {address} unencrypted: --web-config has TLS"
            ));
        }
        let readable =
            |path: &&PathBuf| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o004 != 0);
        if let Some(path) = self.token.as_ref().filter(readable) {
            warnings.push(format!(
                "everybody on this machine can read the token in {}: chmod o= it",
                path.display()
            ));
        }
        warnings
    }

    /// What holds now. Looks after the files now and then.
    pub(super) fn rules(&self) -> Arc<Rules> {
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK {
            state.look(self);
        }
        Arc::clone(&state.rules)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(&mut self, access: &Access) {
        self.looked = Instant::now();
        if self.files.iter().all(|(path, stamp)| self::stamp(path) == *stamp) {
            return;
        }
        match self.load(access) {
            Ok(()) => note("certificates, passwords and tokens have changed: the new ones hold"),
            Err(error) => warn(&format!("the old certificates, passwords and tokens hold: {error:#}")),
        }
    }

    fn load(&mut self, access: &Access) -> Result<()> {
        let (rules, files) = load(access.config.as_deref(), access.token.as_deref());
        // Those that are no good are not read again until they change.
        self.files = files;
        self.rules = Arc::new(rules?);
        Ok(())
    }
}

/// Reads a text as `--web-config`, for tests with bytes that others may write.
#[cfg(any(test, fuzzing))]
pub(super) fn try_config(text: &str) {
    drop(config::parse(text, Path::new("/")));
}

/// The rules, and the files that were read for them.
fn load(config: Option<&Path>, token: Option<&Path>) -> (Result<Rules>, Vec<(PathBuf, Stamp)>) {
    let mut files: Vec<_> =
        config.into_iter().chain(token).map(|path| (path.to_owned(), stamp(path))).collect();
    let rules = rules(config, token, &mut files);
    (rules, files)
}

fn rules(config: Option<&Path>, token: Option<&Path>, files: &mut Vec<(PathBuf, Stamp)>) -> Result<Rules> {
    let config = match config {
        None => config::Config::default(),
        Some(path) => {
            let said = || format!("--web-config {}", path.display());
            let text = String::from_utf8(read(path).context("--web-config")?).with_context(said)?;
            config::parse(&text, path.parent().unwrap_or(Path::new("."))).with_context(said)?
        }
    };
    let config::Config { tls, headers, users } = config;
    if let Some(tls) = &tls {
        let pems = [Some(&tls.cert), Some(&tls.key), tls.client.as_ref().map(|client| &client.ca)];
        files.extend(pems.into_iter().flatten().filter_map(|pem| match pem {
            config::Pem::File(_, path) => Some((path.clone(), stamp(path))),
            config::Pem::Text(_) => None,
        }));
    }
    let client = tls.as_ref().and_then(|tls| tls.client.as_ref());
    Ok(Rules {
        certified: client.is_some_and(|client| !client.optional),
        tls: tls.as_ref().map(tls::server).transpose()?.map(Arc::new),
        headers,
        users: Users::new(users)?,
        token: token.map(read_token).transpose()?,
    })
}

fn read_token(path: &Path) -> Result<Token> {
    let said = || format!("--api-token-file {}", path.display());
    let text = String::from_utf8(read(path).context("--api-token-file")?).with_context(said)?;
    let token = text.trim();
    ensure!(
        token.len() >= TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "{}: not a token of at least {TOKEN} letters and digits (openssl rand -hex 32)",
        said()
    );
    Token::new(token)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    files::read(path, FILE)
}

fn stamp(path: &Path) -> Stamp {
    let it = fs::metadata(path).ok()?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}
