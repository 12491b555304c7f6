//! From JSON values to types, strictly, with the path of what is wrong; and back.

use std::collections::BTreeMap;

use crate::json::Value;

/// Something of another kind than expected, and where.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// Behind the `$` of the whole: `.token.text`
    pub(crate) path: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Mismatch {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { path: String::new(), expected: expected.into(), found: found.into() }
    }

    fn within(mut self, place: &str) -> Self {
        self.path.insert_str(0, place);
        self
    }
}

pub(crate) type Read<T> = std::result::Result<T, Mismatch>;

/// What can be made of a JSON value.
pub(crate) trait FromJson: Sized {
    fn from_json(value: Value) -> Read<Self>;
}

/// The members of an object, each to be taken once; those that nobody takes are ignored.
pub(crate) struct Members(Vec<(String, Value)>);

impl Members {
    pub(crate) fn of(value: Value) -> Read<Self> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            other => Err(Mismatch::new("an object", other.kind())),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().rposition(|(one, _)| one == name)?;
        Some(std::mem::take(&mut self.0[at].1))
    }

    pub(crate) fn required<T: FromJson>(&mut self, name: &str) -> Read<T> {
        match self.take(name) {
            Some(value) => Self::member(name, value),
            None => Err(Mismatch::new(format!("a member {name:?}"), "none")),
        }
    }

    pub(crate) fn or<T: FromJson>(&mut self, name: &str, default: T) -> Read<T> {
        self.take(name).map_or(Ok(default), |value| Self::member(name, value))
    }

    pub(crate) fn or_default<T: FromJson + Default>(&mut self, name: &str) -> Read<T> {
        self.or(name, T::default())
    }

    fn member<T: FromJson>(name: &str, value: Value) -> Read<T> {
        T::from_json(value).map_err(|wrong| wrong.within(&format!(".{name}")))
    }
}

impl FromJson for Value {
    fn from_json(value: Value) -> Read<Self> {
        Ok(value)
    }
}

impl FromJson for bool {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::Bool(value) => Ok(value),
            other => Err(Mismatch::new("a boolean", other.kind())),
        }
    }
}

impl FromJson for u64 {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::Unsigned(number) => Ok(number),
            Value::Negative(number) => Err(Mismatch::new("an integer from 0", number.to_string())),
            other => Err(Mismatch::new("an integer", other.kind())),
        }
    }
}

impl FromJson for i64 {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::Negative(number) => Ok(number),
            Value::Unsigned(number) => {
                Self::try_from(number).map_err(|_| Mismatch::new("an integer below 2^63", number.to_string()))
            }
            other => Err(Mismatch::new("an integer", other.kind())),
        }
    }
}

impl FromJson for f64 {
    fn from_json(value: Value) -> Read<Self> {
        value.as_f64().ok_or_else(|| Mismatch::new("a number", value.kind()))
    }
}

impl FromJson for String {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(Mismatch::new("a string", other.kind())),
        }
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::Null => Ok(None),
            other => T::from_json(other).map(Some),
        }
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: Value) -> Read<Self> {
        match value {
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(n, value)| T::from_json(value).map_err(|wrong| wrong.within(&format!("[{n}]"))))
                .collect(),
            other => Err(Mismatch::new("an array", other.kind())),
        }
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    fn from_json(value: Value) -> Read<Self> {
        let Members(members) = Members::of(value)?;
        members
            .into_iter()
            .map(|(name, value)| Members::member(&name, value).map(|value| (name.clone(), value)))
            .collect()
    }
}

/// An object to be written, without what is left to its default.
#[derive(Default)]
pub(crate) struct Writer(Vec<(String, Value)>);

impl Writer {
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    pub(crate) fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Text or a list that is not empty.
    pub(crate) fn unless_empty(self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Array(values) if values.is_empty() => self,
            Value::String(text) if text.is_empty() => self,
            value => self.with(name, value),
        }
    }

    pub(crate) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// An enum of words, with its text and its reading. `unknown` is what a word stands for that is not among them.
macro_rules! words {
    (
        $(#[$meta:meta])* $name:ident $(, unknown $unknown:ident)? {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::wire::FromJson for $name {
            fn from_json(value: $crate::json::Value) -> $crate::wire::Read<Self> {
                let word = String::from_json(value)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant),)+
                    $(_ if true => Ok(Self::$unknown),)?
                    _ => Err($crate::wire::Mismatch::new(
                        concat!("one of" $(, " ", $word)+),
                        format!("{:?}", word.chars().take(40).collect::<String>()),
                    )),
                }
            }
        }
    };
}
pub(crate) use words;
