//! JSON (RFC 8259), strictly: what the payload of a frame is made of.
//!
//! The reader takes nothing that the RFC does not: no comments, no byte order mark, no lone surrogates, no UTF-8 that
//! is none, no number past what a 64-bit float holds. It bounds how deep values nest, so hostile text cannot use up
//! the stack; memory is a few times the text's own size.

use std::fmt::{self, Write as _};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 128;

/// A JSON value. Objects keep their order; of two members of one name, the later counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number from 0 to 2^64 - 1.
    Unsigned(u64),
    /// A whole number from -2^63 to -1.
    Negative(i64),
    /// Any other number. One that is not finite is written as `null`.
    Float(f64),
    /// Text.
    String(String),
    /// Values in a row.
    Array(Vec<Value>),
    /// Members by name, in order.
    Object(Vec<(String, Value)>),
}

/// Text that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// The byte that does; `None` at the end of the text.
    pub found: Option<u8>,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: expected {}, got {}", self.at, self.expected, self.found_text())
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    pub(crate) fn found_text(&self) -> String {
        match self.found {
            None => "the end".into(),
            Some(byte @ 0x21..=0x7E) => format!("'{}'", char::from(byte)),
            Some(byte) => format!("byte {byte:#04x}"),
        }
    }
}

impl Value {
    /// The one value that `text` is, with nothing but white space around it.
    ///
    /// ```
    /// use rxlapce_client::json::Value;
    /// let value = Value::parse(br#"{"seq": 3}"#)?;
    /// assert_eq!(value.get("seq"), Some(&Value::Unsigned(3)));
    /// # Ok::<(), rxlapce_client::json::JsonError>(())
    /// ```
    ///
    /// # Errors
    /// For anything else, with its place.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(MAX_DEPTH)?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(reader.expected("the end of the text"));
        }
        Ok(value)
    }

    /// The member of an object; `None` if there is none, or this is no object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number from 0 on.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// Any number, rounded where a float must round it.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // what a float cannot hold it rounds, as said
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Negative(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The values of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// What this is, in a word: for errors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Negative(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Unsigned(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Negative(value), Self::Unsigned)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

// -- writing ----------------------------------------------------------------------------------------------------------

/// The value as JSON text, without white space.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Negative(number) => write!(f, "{number}"),
            // `{:?}` is the shortest text that reads back as the same number, and JSON for all that are finite.
            Self::Float(number) if number.is_finite() => write!(f, "{number:?}"),
            Self::Float(_) => f.write_str("null"),
            Self::String(text) => write_string(f, text),
            Self::Array(values) => {
                f.write_char('[')?;
                for (n, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if n == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (n, (name, value)) in members.iter().enumerate() {
                    f.write_str(if n == 0 { "" } else { "," })?;
                    write_string(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        f.write_str(&text[plain..at])?;
        plain = at + 1;
        match byte {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            _ => write!(f, "\\u{byte:04x}")?,
        }
    }
    f.write_str(&text[plain..])?;
    f.write_char('"')
}

// -- reading ----------------------------------------------------------------------------------------------------------

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        self.expected_at(self.at, expected)
    }

    fn expected_at(&self, at: usize, expected: &'static str) -> JsonError {
        JsonError { at, expected, found: self.text.get(at).copied() }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Goes past `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => Err(self.expected("a value that nests at most 128 deep")),
            Some(b'{') => self.object(depth - 1),
            Some(b'[') => self.array(depth - 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut values = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(values));
            }
            if !self.take(b',') {
                return Err(self.expected("',' or ']'"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a member's name"));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.expected("':'"));
            }
            members.push((name, self.value(depth)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.expected("',' or '}'"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            match std::str::from_utf8(&self.text[start..self.at]) {
                Ok(plain) => out.push_str(plain),
                Err(error) => return Err(self.expected_at(start + error.valid_up_to(), "UTF-8")),
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.expected("an escape in place of a control character")),
                None => return Err(self.expected("'\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.four_digits()?;
                if (0xD800..0xDC00).contains(&code) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.four_digits()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(self.expected_at(start, "a pair of surrogates"));
                    }
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                // What is left of the surrogates here is alone.
                char::from_u32(code).ok_or_else(|| self.expected_at(start, "a pair of surrogates"))?
            }
            _ => return Err(self.expected_at(start + 1, "an escape of JSON's")),
        })
    }

    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.expected("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        let negative = self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            whole = false;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default(); // ASCII by now
        if whole && !negative {
            if let Ok(number) = text.parse() {
                return Ok(Value::Unsigned(number));
            }
        } else if whole {
            match text.parse::<i64>() {
                Ok(0) => {} // -0 is a float's, the only one that can hold it
                Ok(number) => return Ok(Value::Negative(number)),
                Err(_) => {}
            }
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(self.expected_at(start, "a number of at most 64 bits")),
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.expected("a digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        Value::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn values_of_every_kind() {
        for (text, value) in [
            ("null", Value::Null),
            (" true\r\n\t ", Value::Bool(true)),
            ("0", Value::Unsigned(0)),
            ("18446744073709551615", Value::Unsigned(u64::MAX)),
            ("-9223372036854775808", Value::Negative(i64::MIN)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("-0", Value::Float(-0.0)),
            ("12.5E-1", Value::Float(1.25)),
            ("1e+2", Value::Float(100.0)),
            ("1e-999", Value::Float(0.0)),
            ("\"\"", Value::from("")),
            ("[]", Value::Array(vec![])),
            ("[1,[2]]", Value::Array(vec![1_u64.into(), Value::Array(vec![2_u64.into()])])),
            ("{ \"a\" : 1 }", Value::Object(vec![("a".into(), 1_u64.into())])),
        ] {
            assert_eq!(read(text), value, "{text}");
        }
    }

    #[test]
    fn text_in_all_its_writings() {
        for (text, plain) in [
            (r#""\u00e9\"\\\/\b\f\n\r\t\u0000""#, "é\"\\/\u{8}\u{c}\n\r\t\0"),
            (r#""\ud834\udd1E""#, "𝄞"),
            ("\"日本語 \u{7f} 👩‍💻\"", "日本語 \u{7f} 👩‍💻"),
        ] {
            assert_eq!(read(text).as_str(), Some(plain));
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let every: String = (0..0x300).filter_map(char::from_u32).chain("\u{2028}𝄞".chars()).collect();
        let value = Value::Object(vec![
            (every.clone(), every.into()),
            ("numbers".into(), vec![0.1, -1e300, 5e-324, 100.0].into()),
            ("whole".into(), vec![i64::MIN, -1, 0, i64::MAX].into()),
            (
                "rest".into(),
                Value::Array(vec![Value::Null, true.into(), u64::MAX.into(), Value::Object(vec![])]),
            ),
        ]);
        assert_eq!(read(&value.to_string()), value);
        assert_eq!(Value::Float(f64::NAN).to_string(), "null");
    }

    #[test]
    fn the_later_of_two_members_counts() {
        assert_eq!(read(r#"{"a":1,"a":2}"#).get("a"), Some(&Value::Unsigned(2)));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, at) in [
            ("", 0),
            (" ", 1),
            ("nul", 0),
            ("tru", 0),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            (".5", 0),
            ("+1", 0),
            ("1e", 2),
            ("1e999", 0),
            ("-1e999", 0),
            ("NaN", 0),
            ("Infinity", 0),
            ("[1,]", 3),
            ("[1", 2),
            ("{,}", 1),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("'a'", 0),
            ("\"a", 2),
            ("\"\t\"", 1),
            (r#""\x""#, 2),
            (r#""\u12g4""#, 5),
            (r#""\ud834""#, 1),
            (r#""\udd1e""#, 1),
            (r#""\ud834A""#, 1),
            (r#""\ud834\n""#, 1),
            (r#""\ud834\u0041""#, 1),
            ("1 2", 2),
            ("// a\n1", 0),
            ("\u{feff}1", 0),
            ("\"\\", 2),
            ("\"\\u", 3),
        ] {
            assert_eq!(Value::parse(text.as_bytes()).map_err(|error| error.at), Err(at), "{text:?}");
        }
        for bytes in
            [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"\"\xf5\x80\x80\x80\"", b"\"\xe2\x82\""]
        {
            assert_eq!(Value::parse(bytes).unwrap_err().expected, "UTF-8");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        read(&nested(MAX_DEPTH));
        assert!(Value::parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(Value::parse("[".repeat(10_000_000).as_bytes()).is_err());
        assert!(Value::parse("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }
}
