//! Who may come in: passwords (bcrypt) and the token. Nothing that is compared here tells by its time what was right.

use crate::web::worker::Worker;
use anyhow::{Context as _, Result};
use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    hmac::{self, HMAC_SHA256, Key, Tag},
    rand::SystemRandom,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// Passwords that are known to be right, so that not every scrape costs a bcrypt.
const KNOWN: usize = 64;
/// How long one waits for others' passwords to be looked at.
const WAIT: Duration = Duration::from_secs(5);

/// Whether somebody may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// Too many passwords are waiting to be looked at.
    Busy,
}

/// What a request says who it is from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Basic(String, String),
    Bearer(String),
}

impl Credentials {
    /// `None`: it says nothing, or nothing that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION).map(HeaderValue::to_str)?.ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self::Basic(user.to_owned(), password.to_owned()))
    }
}

/// Users with passwords.
#[derive(Debug)]
pub(super) struct Users {
    /// bcrypt hashes.
    hashes: BTreeMap<String, String>,
    key: Key,
    /// Of what was right, the latest at the end: names and passwords by a key that nobody else has.
    known: Mutex<VecDeque<[u8; 32]>>,
    /// bcrypt is slow on purpose: one at a time.
    bcrypt: Semaphore,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self> {
        Ok(Self { hashes, key: key()?, known: Mutex::default(), bcrypt: Semaphore::new(1) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether somebody has this name and this password.
    pub(super) async fn check(&self, user: &str, password: &str, worker: &Worker) -> Verdict {
        let tag = self.tag(user, password);
        if self.knows(&tag) {
            return Verdict::Yes;
        }
        // For a name that nobody has it takes as long.
        let hash = self.hashes.get(user);
        let Some(some) = hash.or_else(|| self.hashes.values().next()).cloned() else { return Verdict::No };
        let Ok(Ok(_turn)) = timeout(WAIT, self.bcrypt.acquire()).await else {
            return Verdict::Busy;
        };
        if self.knows(&tag) {
            return Verdict::Yes;
        }
        let password = password.to_owned();
        let checked = worker.run(move || bcrypt::verify(password, &some).unwrap_or(false)).await;
        let right = checked.unwrap_or(false) && hash.is_some();
        if right {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() == KNOWN {
                known.pop_front();
            }
            known.push_back(tag);
        }
        if right { Verdict::Yes } else { Verdict::No }
    }

    fn tag(&self, user: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.len() as u64).to_be_bytes());
        context.update(user.as_bytes());
        context.update(password.as_bytes());
        bytes(&context.sign())
    }

    fn knows(&self, tag: &[u8; 32]) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(tag)
    }
}

/// What opens the API.
#[derive(Debug)]
pub(super) struct Token {
    key: Key,
    tag: Tag,
}

impl Token {
    pub(super) fn new(token: &str) -> Result<Self> {
        let key = key()?;
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    /// As Bearer, or as the password of whatever user: browsers ask for that.
    pub(super) fn check(&self, credentials: &Credentials) -> Verdict {
        let (Credentials::Bearer(given) | Credentials::Basic(_, given)) = credentials;
        match hmac::verify(&self.key, given.as_bytes(), self.tag.as_ref()) {
            Ok(()) => Verdict::Yes,
            Err(_) => Verdict::No,
        }
    }
}

fn key() -> Result<Key> {
    Key::generate(HMAC_SHA256, &SystemRandom::new()).ok().context("the kernel gives no random numbers")
}

fn bytes(tag: &Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn users() -> Users {
        let hash = |password| bcrypt::hash(password, 4).unwrap();
        Users::new([("alice".into(), hash("secret")), ("bob".into(), hash("hidden"))].into()).unwrap()
    }

    #[tokio::test]
    async fn names_and_passwords_belong_together() {
        let (users, worker) = (users(), Worker::start().unwrap());
        for _ in 0..2 {
            assert_eq!(users.check("alice", "secret", &worker).await, Verdict::Yes);
            assert_eq!(users.check("bob", "hidden", &worker).await, Verdict::Yes);
            for (user, password) in [
                ("alice", "hidden"),
                ("alice", ""),
                ("", ""),
                ("eve", "secret"),
                // The hash that is taken for a name that nobody has.
                ("eve", "secret"),
                ("alic", "esecret"),
                ("alices", "ecret"),
            ] {
                assert_eq!(users.check(user, password, &worker).await, Verdict::No, "{user} {password}");
            }
        }
        assert_eq!(users.known.lock().unwrap().len(), 2, "only what is right is kept");
    }

    #[tokio::test]
    async fn a_right_password_costs_one_bcrypt() {
        let worker = Worker::start().unwrap();
        let users = Users::new([("a".into(), bcrypt::hash("x", 9).unwrap())].into()).unwrap();
        let began = Instant::now();
        assert_eq!(users.check("a", "x", &worker).await, Verdict::Yes);
        let first = began.elapsed();
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(users.check("a", "x", &worker).await, Verdict::Yes);
        }
        assert!(began.elapsed() < first, "{:?} {first:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_known_is_bounded() {
        let (users, worker) = (users(), Worker::start().unwrap());
        for number in 0..KNOWN as u8 + 5 {
            let mut known = users.known.lock().unwrap();
            if known.len() < KNOWN {
                known.push_back([number; 32]);
            }
        }
        assert_eq!(users.check("alice", "secret", &worker).await, Verdict::Yes);
        assert_eq!(users.known.lock().unwrap().len(), KNOWN);
    }

    #[test]
    fn credentials_are_read() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            Credentials::of(&headers)
        };
        assert_eq!(of("Basic YTpiOmM="), Some(Credentials::Basic("a".into(), "b:c".into())));
        assert_eq!(of("basic YTo="), Some(Credentials::Basic("a".into(), String::new())));
        assert_eq!(of("Bearer  x"), Some(Credentials::Bearer("x".into())));
        for wrong in ["", "Basic", "Basic !", "Basic YQ==", "Digest x", "Basic //8=", "Bearer\u{e9}"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_opens_as_itself_and_as_a_password() {
        let token = Token::new("0123456789abcdef").unwrap();
        let bearer = |text: &str| token.check(&Credentials::Bearer(text.into()));
        assert_eq!(bearer("0123456789abcdef"), Verdict::Yes);
        for wrong in ["", "0123456789abcde", "0123456789abcdefg"] {
            assert_eq!(bearer(wrong), Verdict::No);
        }
        assert_eq!(token.check(&Credentials::Basic("x".into(), "0123456789abcdef".into())), Verdict::Yes);
        assert_eq!(token.check(&Credentials::Basic("0123456789abcdef".into(), String::new())), Verdict::No);
    }
}
