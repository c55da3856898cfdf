//! JSON objects that hold a line: `journalctl -o json`, Docker's json-file, what collectors write; and the lines of
//! `dmesg --json`.

use super::super::Stamp;
use super::journal::Entry;
use super::layers::{Body, Head, Inner};
use super::text::{digits, seconds, split};
use super::{Part, dates};
use crate::report::line::utf8;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Keys of the message, the best first: an object of the journal's may have others beside it.
const MESSAGES: [&str; 5] = ["MESSAGE", "message", "log", "msg", "line"];
const TIMES: [&str; 3] = ["time", "timestamp", "@timestamp"];
const HOSTS: [&str; 2] = ["host", "hostname"];

/// An object that is all of a line.
pub(super) fn object(text: &[u8]) -> Option<Head<'_>> {
    let Object { entry, message, key, time, host, others, has_stream } = serde_json::from_slice(text).ok()?;
    let message = message?;
    // Docker cuts long lines, and only what ends a line has a line feed.
    let is_docker = MESSAGES[key] == "log" && has_stream && time.is_some() && others == 0;
    let part = if is_docker && !message.ends_with('\n') { Part::Begin } else { Part::Whole };
    let is_journal = entry.transport.is_some();
    let inner = if is_journal { Inner::Nothing } else { Inner::Any };
    let body = match message {
        Cow::Borrowed(message) => Body::Rest(message.as_bytes()),
        Cow::Owned(message) if inner == Inner::Nothing => Body::Message(Cow::Owned(message)),
        Cow::Owned(message) => Body::Text(message),
    };
    let mut head = entry.head(body, inner);
    head.is_collector = true;
    head.part = part;
    head.host = head.host.or(host);
    head.stamp = head.stamp.or_else(|| time.and_then(stamp));
    Some(head)
}

fn stamp(time: Cow<'_, str>) -> Option<Stamp<'_>> {
    fn whole(text: &str) -> Option<Stamp<'_>> {
        dates::iso(text.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(stamp, _)| stamp)
    }
    match time {
        Cow::Borrowed(text) => whole(text),
        Cow::Owned(text) => whole(&text).map(Stamp::into_owned),
    }
}

/// What is used of an object.
#[derive(Default)]
struct Object<'a> {
    entry: Entry<'a>,
    message: Option<Cow<'a, str>>,
    /// Where in `MESSAGES` the message's key is.
    key: usize,
    time: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    has_stream: bool,
    /// How many keys have another use.
    others: usize,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = Object { key: MESSAGES.len(), ..Object::default() };
                while let Some(Value(Some(key))) = map.next_key()? {
                    object.take(&key, &mut map)?;
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Object<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let at = |keys: &[&str]| keys.iter().position(|known| *known == key);
        if let Some(rank) = at(&MESSAGES) {
            let Value(value) = map.next_value()?;
            // The first of two that are equal: nobody writes two.
            if value.is_some() && rank < self.key {
                (self.message, self.key) = (value, rank);
            }
        } else if let Some(field) = self.entry.field(key) {
            *field = map.next_value::<Value<'_>>()?.0;
        } else if at(&TIMES).is_some() {
            self.time = map.next_value::<Value<'_>>()?.0.or(self.time.take());
        } else if at(&HOSTS).is_some() {
            self.host = map.next_value::<Value<'_>>()?.0.or(self.host.take());
        } else {
            self.has_stream |= key == "stream";
            self.others += usize::from(key != "stream" && key != "attrs");
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// A string, or the bytes of one that is not printable (`json_escape` of systemd). Anything else is not looked at.
struct Value<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        let mut are_bytes = true;
        while let Some(Element(byte)) = seq.next_element()? {
            match byte {
                Some(byte) if are_bytes => bytes.push(byte),
                _ => are_bytes = false,
            }
        }
        Ok((are_bytes && !bytes.is_empty()).then(|| Cow::Owned(utf8(&bytes).into_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A byte as a number, or something else.
struct Element(Option<u8>);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.as_u64().and_then(|value| u8::try_from(value).ok())))
    }
}

/// A line of `dmesg --json`: a field of an object, in the order of priority, time, caller and message.
pub(super) fn dmesg(text: &[u8]) -> Option<Head<'_>> {
    // Objects are two levels deep, each of three blanks (`ul_jsonwrt_indent`).
    let field = text.strip_prefix(b"         \"")?;
    let field = field.strip_suffix(b",").unwrap_or(field);
    let (name, value) = split(field, b'"')?;
    let value = value.strip_prefix(b": ")?;
    let string = || serde_json::from_slice::<&str>(value).ok();
    let mut head = Head::new(Body::Message(Cow::Borrowed("")), Inner::Nothing);
    head.part = Part::Head;
    match name {
        b"time" => head.boot_ns = Some(seconds(value).filter(|(_, rest)| rest.is_empty())?.0),
        b"caller" => head.context = string()?.strip_prefix('T').and_then(|tid| tid.parse().ok()),
        // A number, or with `--decode` the name of a level behind that of a facility.
        b"pri" => match digits(value) {
            Some(pri) => head.is_foreign = pri >> 3 != 0,
            None => drop(string()?),
        },
        b"fac" => head.is_foreign = string()? != "kern",
        b"msg" => {
            let Value(message) = serde_json::from_slice(value).ok()?;
            return Some(Head::new(Body::Message(message?), Inner::Nothing));
        }
        _ => return None,
    }
    Some(head)
}
