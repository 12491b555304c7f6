//! What a stream is made of, in the order in which the provider said it.
//!
//! A whole stream is any number of tokens, then exactly one [`Finish`]; one that fails has none.

use crate::json::Value;
use crate::wire::{words, FromJson, Members, Mismatch, Read};

/// One token. `choice` numbers the answer that it belongs to, 0 unless the request asked for several.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A piece of the visible answer.
    Text {
        /// The piece.
        text: String,
        /// Which answer.
        choice: i64,
    },
    /// A piece of the model's thinking.
    Reasoning {
        /// The piece.
        text: String,
        /// Comes once, when the block ends, and is sent back unchanged.
        signature: Option<String>,
        /// Which answer.
        choice: i64,
    },
    /// A piece of a refusal that the provider marks as one.
    Refusal {
        /// The piece.
        text: String,
        /// Which answer.
        choice: i64,
    },
    /// A piece of a tool call. Pieces belong together by choice and index.
    ToolCall {
        /// Counts the calls of a choice from 0.
        index: i64,
        /// On the first piece.
        id: Option<String>,
        /// On the first piece.
        name: Option<String>,
        /// The pieces join to one JSON text.
        arguments_delta: String,
        /// Which answer.
        choice: i64,
    },
    /// The usage as known now; a later report replaces an earlier one.
    Usage(Box<Usage>),
    /// A new attempt continues the answer here.
    Seam {
        /// Counts the seams of a stream from 1.
        leg: u64,
        /// Why the last attempt did not go on; begins with the word of [`SeamWord`].
        reason: String,
    },
    /// Something of the provider's that has no token of its own.
    Opaque {
        /// The provider's word for it.
        kind: String,
        /// Its JSON text.
        raw: String,
        /// Which answer.
        choice: i64,
    },
    /// The end of a whole answer: always the last token.
    Finish(Finish),
}

impl Token {
    /// The visible text of the first answer; `None` for all other tokens.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, choice: 0 } => Some(text),
            _ => None,
        }
    }
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Why, in one vocabulary for all providers.
    pub kind: FinishKind,
    /// The provider's own word.
    pub raw: Option<String>,
    /// The model that really answered.
    pub model: Option<String>,
    /// The other choices of a stream with several.
    pub others: Vec<ChoiceEnd>,
}

/// How one further choice of a stream with several ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceEnd {
    /// Which answer.
    pub choice: i64,
    /// Why.
    pub kind: FinishKind,
    /// The provider's own word.
    pub raw: Option<String>,
}

words! {
    /// Why an answer ended.
    FinishKind {
        /// By itself.
        Stop = "stop",
        /// It became as long as it may.
        Length = "length",
        /// To have tools called.
        ToolCalls = "tool_calls",
        /// A filter took the rest.
        ContentFilter = "content_filter",
        /// The model refused.
        Refusal = "refusal",
        /// The provider pauses; ask again with what there is.
        Pause = "pause",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

words! {
    /// Who counted a usage.
    #[derive(Default)]
    UsageSource {
        /// The provider, at the end.
        #[default]
        Provider = "provider",
        /// The daemon itself.
        Estimated = "estimated",
        /// The provider, before the stream broke off.
        Partial = "partial",
    }
}

/// What the reader of a stream does at a seam with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeamWord {
    /// Keeps it; what follows goes on just behind it.
    Continue,
    /// Discards all from the first tool call on.
    Rewind,
    /// Discards everything.
    Restart,
}

impl SeamWord {
    /// The word of a seam's reason: what stands before the first colon, compared exactly; any other is `Continue`.
    ///
    /// ```
    /// use rxlapce_client::SeamWord;
    /// assert_eq!(SeamWord::of("restart: openai/gpt-x answers"), SeamWord::Restart);
    /// assert_eq!(SeamWord::of("Restart: no word of ours"), SeamWord::Continue);
    /// ```
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match reason.split(':').next() {
            Some("rewind") => Self::Rewind,
            Some("restart") => Self::Restart,
            _ => Self::Continue,
        }
    }
}

/// Token counts in one meaning for all providers; `None` where it cannot be known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usage {
    /// All of the prompt.
    pub input: Option<i64>,
    /// The part of `input` that was read from a cache.
    pub cached_input: Option<i64>,
    /// The part of `input` that was written to a cache.
    pub cache_write: Option<i64>,
    /// All that was generated.
    pub output: Option<i64>,
    /// The part of `output` that was thinking.
    pub reasoning: Option<i64>,
    /// `input` and `output`.
    pub total: Option<i64>,
    /// What the provider said it costs, in US dollars.
    pub cost_usd: Option<f64>,
    /// Who counted.
    pub source: UsageSource,
    /// The provider's own numbers, no arithmetic.
    pub reported: Reported,
}

/// The provider's own numbers; `None` where it gave none, which is not 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// Of the prompt.
    pub input_tokens: Option<i64>,
    /// Of the answer.
    pub output_tokens: Option<i64>,
    /// Of both.
    pub total_tokens: Option<i64>,
    /// Read from a cache.
    pub cached_input_tokens: Option<i64>,
    /// Written to a cache.
    pub cache_creation_input_tokens: Option<i64>,
    /// Of thinking.
    pub reasoning_tokens: Option<i64>,
}

impl FromJson for Token {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        let kind: String = m.required("type")?;
        Ok(match kind.as_str() {
            "text" => Self::Text { text: m.required("text")?, choice: m.or_default("choice")? },
            "reasoning" => Self::Reasoning {
                text: m.required("text")?,
                signature: m.or_default("signature")?,
                choice: m.or_default("choice")?,
            },
            "refusal" => Self::Refusal { text: m.required("text")?, choice: m.or_default("choice")? },
            "tool_call" => Self::ToolCall {
                index: m.required("index")?,
                id: m.or_default("id")?,
                name: m.or_default("name")?,
                arguments_delta: m.or_default("arguments_delta")?,
                choice: m.or_default("choice")?,
            },
            "usage" => Self::Usage(Box::new(m.required("usage")?)),
            "seam" => Self::Seam { leg: m.required("leg")?, reason: m.required("reason")? },
            "opaque" => Self::Opaque {
                kind: m.required("kind")?,
                raw: m.required("raw")?,
                choice: m.or_default("choice")?,
            },
            _ => return Err(Mismatch::new("a token of a chunk", format!("type {:?}", shortened(&kind)))),
        })
    }
}

/// Text of the peer's that goes into an error.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

impl FromJson for Finish {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            kind: m.required("kind")?,
            raw: m.or_default("raw")?,
            model: m.or_default("model")?,
            others: m.or_default("others")?,
        })
    }
}

impl FromJson for ChoiceEnd {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self { choice: m.required("choice")?, kind: m.required("kind")?, raw: m.or_default("raw")? })
    }
}

impl FromJson for Usage {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            input: m.or_default("input")?,
            cached_input: m.or_default("cached_input")?,
            cache_write: m.or_default("cache_write")?,
            output: m.or_default("output")?,
            reasoning: m.or_default("reasoning")?,
            total: m.or_default("total")?,
            cost_usd: m.or_default("cost_usd")?,
            source: m.or_default("source")?,
            reported: m.or_default("reported")?,
        })
    }
}

impl FromJson for Reported {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            input_tokens: m.or_default("input_tokens")?,
            output_tokens: m.or_default("output_tokens")?,
            total_tokens: m.or_default("total_tokens")?,
            cached_input_tokens: m.or_default("cached_input_tokens")?,
            cache_creation_input_tokens: m.or_default("cache_creation_input_tokens")?,
            reasoning_tokens: m.or_default("reasoning_tokens")?,
        })
    }
}
