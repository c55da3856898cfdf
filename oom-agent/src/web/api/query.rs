//! Parameters of a request.

use crate::web::problem::Problem;
use serde::de::{DeserializeOwned, value::StrDeserializer};

/// Parameters by name.
#[derive(Debug)]
pub(in crate::web) struct Query(Vec<(String, String)>);

impl Query {
    /// Of a request that may have these and no others, each once.
    pub(in crate::web) fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut query = Self(Vec::new());
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::parameter(&name, format!("unknown parameter; known: {known}")));
            }
            if query.get(&name).is_some() {
                return Err(Problem::parameter(&name, "given twice".to_owned()));
            }
            query.0.push((name.into_owned(), value.into_owned()));
        }
        Ok(query)
    }

    pub(in crate::web) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A value that has to be read first; an error says what would be right.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let value = self.get(name).map(read).transpose();
        value.map_err(|detail| Problem::parameter(name, detail))
    }

    /// One of the names of an enum, as the JSON has them.
    pub(super) fn name<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.read(name, |value| {
            let value = StrDeserializer::<serde::de::value::Error>::new(value);
            T::deserialize(value).map_err(|error| error.to_string())
        })
    }

    /// A number up to `most`, from 1 on.
    pub(super) fn number(&self, name: &str, most: usize) -> Result<Option<usize>, Problem> {
        self.read(name, |value| {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| format!("not a number from 1 to {most}"))
        })
    }
}
