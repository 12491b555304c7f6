//! What a client asks for: conversations to continue, texts to go on from.

use crate::json::Value;
use crate::wire::{words, FromJson, Members, Read, Writer};

words! {
    /// Who speaks in a turn.
    Role {
        /// Standing orders.
        System = "system",
        /// The same, as some vendors call it.
        Developer = "developer",
        /// The person.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// A tool that the model called.
        Tool = "tool",
    }
}

words! {
    /// How long to think, in a word.
    Effort {
        /// Not at all.
        None = "none",
        /// As little as there is.
        Minimal = "minimal",
        /// Little.
        Low = "low",
        /// In between.
        Medium = "medium",
        /// Much.
        High = "high",
        /// More than that.
        XHigh = "xhigh",
        /// As much as there is.
        Max = "max",
    }
}

words! {
    /// How long a provider is to keep a prefix that is worth caching.
    CacheLife {
        /// Five minutes.
        FiveMinutes = "5m",
        /// An hour.
        OneHour = "1h",
    }
}

words! {
    /// How closely to look at a picture.
    Detail {
        /// As the model likes.
        Auto = "auto",
        /// From afar.
        Low = "low",
        /// Closely.
        High = "high",
    }
}

/// A conversation to continue. What is `None` or empty is left to the provider.
///
/// ```
/// use rxlapce_client::{ChatRequest, Message};
/// let request = ChatRequest {
///     temperature: Some(0.2),
///     ..ChatRequest::new("simulator/sim", [Message::user("What is backpressure?")])
/// };
/// assert_eq!(request.messages.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// `PROVIDER/MODEL`, or an alias of the daemon's.
    pub model: String,
    /// The turns so far.
    pub messages: Vec<Message>,
    /// Which API, of a provider that has several (`responses`).
    pub api: Option<String>,
    /// From 1.
    pub max_tokens: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// From 0 to 1.
    pub top_p: Option<f64>,
    /// From 1.
    pub top_k: Option<u32>,
    /// From -2 to 2.
    pub presence_penalty: Option<f64>,
    /// From -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Texts at which to stop.
    pub stop: Vec<String>,
    /// For the same answer again, as far as the provider can.
    pub seed: Option<i64>,
    /// How many answers, from 1.
    pub n: Option<u32>,
    /// What the model may ask for.
    pub tools: Vec<Tool>,
    /// `auto`, `none`, `required` or a tool's name.
    pub tool_choice: Option<String>,
    /// Whether several calls may come at once.
    pub parallel_tool_calls: Option<bool>,
    /// That the answer is to be JSON.
    pub response_format: Option<ResponseFormat>,
    /// How long to think, in a word.
    pub reasoning_effort: Option<Effort>,
    /// How long to think, in tokens.
    pub reasoning_tokens: Option<u32>,
    /// Members that go into the provider's body as they are, and win over all of the above.
    pub extra: Vec<(String, Value)>,
}

impl ChatRequest {
    /// The conversation, with all settings left to the provider.
    pub fn new(model: impl Into<String>, messages: impl IntoIterator<Item = Message>) -> Self {
        Self { model: model.into(), messages: messages.into_iter().collect(), ..Self::default() }
    }
}

impl From<&ChatRequest> for Value {
    fn from(request: &ChatRequest) -> Self {
        Writer::default()
            .with("model", &*request.model)
            .with("messages", list(&request.messages))
            .maybe("api", request.api.as_deref())
            .maybe("max_tokens", request.max_tokens)
            .maybe("temperature", request.temperature)
            .maybe("top_p", request.top_p)
            .maybe("top_k", request.top_k)
            .maybe("presence_penalty", request.presence_penalty)
            .maybe("frequency_penalty", request.frequency_penalty)
            .unless_empty("stop", request.stop.clone())
            .maybe("seed", request.seed)
            .maybe("n", request.n)
            .unless_empty("tools", list(&request.tools))
            .maybe("tool_choice", request.tool_choice.as_deref())
            .maybe("parallel_tool_calls", request.parallel_tool_calls)
            .maybe("response_format", request.response_format.as_ref())
            .maybe("reasoning_effort", request.reasoning_effort.map(Effort::as_str))
            .maybe("reasoning_tokens", request.reasoning_tokens)
            .maybe("extra", extra(&request.extra))
            .done()
    }
}

/// A text to go on from. What is `None` or empty is left to the provider.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CompletionRequest {
    /// `PROVIDER/MODEL`, or an alias of the daemon's.
    pub model: String,
    /// The text.
    pub prompt: String,
    /// Which API, of a provider that has several.
    pub api: Option<String>,
    /// From 1.
    pub max_tokens: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// From 0 to 1.
    pub top_p: Option<f64>,
    /// Texts at which to stop.
    pub stop: Vec<String>,
    /// For the same answer again, as far as the provider can.
    pub seed: Option<i64>,
    /// Members that go into the provider's body as they are.
    pub extra: Vec<(String, Value)>,
}

impl CompletionRequest {
    /// The text, with all settings left to the provider.
    pub fn new(model: impl Into<String>, prompt: impl Into<String>) -> Self {
        Self { model: model.into(), prompt: prompt.into(), ..Self::default() }
    }
}

impl From<&CompletionRequest> for Value {
    fn from(request: &CompletionRequest) -> Self {
        Writer::default()
            .with("model", &*request.model)
            .with("prompt", &*request.prompt)
            .maybe("api", request.api.as_deref())
            .maybe("max_tokens", request.max_tokens)
            .maybe("temperature", request.temperature)
            .maybe("top_p", request.top_p)
            .unless_empty("stop", request.stop.clone())
            .maybe("seed", request.seed)
            .maybe("extra", extra(&request.extra))
            .done()
    }
}

/// One turn. `parts` take the place of `content` where a turn is more than its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What, as text.
    pub content: String,
    /// What, in pieces.
    pub parts: Vec<Part>,
    /// Of an assistant's turn, behind its content.
    pub tool_calls: Vec<RequestedCall>,
    /// Which call a tool's turn answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A turn of nothing but text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let (parts, tool_calls) = (Vec::new(), Vec::new());
        Self { role, content: content.into(), parts, tool_calls, tool_call_id: None }
    }

    /// What the person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What holds for the whole conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the model said, where that was only text; else use the turn of an answer.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// What the tool said to the call of this id.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::Tool, content) }
    }
}

impl From<&Message> for Value {
    fn from(message: &Message) -> Self {
        Writer::default()
            .with("role", message.role.as_str())
            .unless_empty("content", &*message.content)
            .unless_empty("parts", list(&message.parts))
            .unless_empty("tool_calls", list(&message.tool_calls))
            .maybe("tool_call_id", message.tool_call_id.as_deref())
            .done()
    }
}

impl FromJson for Message {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            role: m.required("role")?,
            content: m.or_default("content")?,
            parts: m.or_default("parts")?,
            tool_calls: m.or_default("tool_calls")?,
            tool_call_id: m.or_default("tool_call_id")?,
        })
    }
}

/// A piece of a turn: exactly one of text, image, reasoning, tool call and opaque.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Text.
    pub text: Option<String>,
    /// A picture.
    pub image: Option<Image>,
    /// A thought of the model's, sent back.
    pub reasoning: Option<String>,
    /// A call of the model's, sent back.
    pub tool_call: Option<RequestedCall>,
    /// What an opaque token said, sent back.
    pub opaque: Option<OpaquePart>,
    /// Goes with `reasoning`, and came with it.
    pub signature: Option<String>,
    /// Marks the end of a prefix that is worth caching: the conversation up to and with this piece.
    pub cache: Option<CacheLife>,
}

impl Part {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A picture.
    #[must_use]
    pub fn image(image: Image) -> Self {
        Self { image: Some(image), ..Self::default() }
    }
}

impl From<&Part> for Value {
    fn from(part: &Part) -> Self {
        Writer::default()
            .maybe("text", part.text.as_deref())
            .maybe("image", part.image.as_ref())
            .maybe("reasoning", part.reasoning.as_deref())
            .maybe("tool_call", part.tool_call.as_ref())
            .maybe("opaque", part.opaque.as_ref())
            .maybe("signature", part.signature.as_deref())
            .maybe("cache", part.cache.map(CacheLife::as_str))
            .done()
    }
}

impl FromJson for Part {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            text: m.or_default("text")?,
            image: m.or_default("image")?,
            reasoning: m.or_default("reasoning")?,
            tool_call: m.or_default("tool_call")?,
            opaque: m.or_default("opaque")?,
            signature: m.or_default("signature")?,
            cache: m.or_default("cache")?,
        })
    }
}

/// A picture: a URL that the provider fetches, or data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Of https, or a vendor's own such as gs: and s3:
    pub url: Option<String>,
    /// Base64 (RFC 4648 section 4) of a file of `media_type`.
    pub data: Option<String>,
    /// Such as `image/png`.
    pub media_type: Option<String>,
    /// How closely to look.
    pub detail: Option<Detail>,
}

impl From<&Image> for Value {
    fn from(image: &Image) -> Self {
        Writer::default()
            .maybe("url", image.url.as_deref())
            .maybe("data", image.data.as_deref())
            .maybe("media_type", image.media_type.as_deref())
            .maybe("detail", image.detail.map(Detail::as_str))
            .done()
    }
}

impl FromJson for Image {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            url: m.or_default("url")?,
            data: m.or_default("data")?,
            media_type: m.or_default("media_type")?,
            detail: m.or_default("detail")?,
        })
    }
}

/// A tool call of an earlier answer, sent back as history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCall {
    /// Its id.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The JSON text as the model said it.
    pub arguments: String,
}

impl From<&RequestedCall> for Value {
    fn from(call: &RequestedCall) -> Self {
        Writer::default()
            .with("id", &*call.id)
            .with("name", &*call.name)
            .with("arguments", &*call.arguments)
            .done()
    }
}

impl FromJson for RequestedCall {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self { id: m.required("id")?, name: m.required("name")?, arguments: m.required("arguments")? })
    }
}

/// What an opaque token said, sent back unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaquePart {
    /// The provider's word for it.
    pub kind: String,
    /// JSON text.
    pub raw: String,
}

impl From<&OpaquePart> for Value {
    fn from(part: &OpaquePart) -> Self {
        Writer::default().with("kind", &*part.kind).with("raw", &*part.raw).done()
    }
}

impl FromJson for OpaquePart {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self { kind: m.required("kind")?, raw: m.required("raw")? })
    }
}

/// A function that the model may ask for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The JSON Schema of its arguments; `None` for a tool without any.
    pub parameters: Option<Value>,
    /// As [`Part::cache`].
    pub cache: Option<CacheLife>,
}

impl From<&Tool> for Value {
    fn from(tool: &Tool) -> Self {
        Writer::default()
            .with("name", &*tool.name)
            .unless_empty("description", &*tool.description)
            .maybe("parameters", tool.parameters.clone())
            .maybe("cache", tool.cache.map(CacheLife::as_str))
            .done()
    }
}

/// That the answer is to be JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResponseFormat {
    /// What it is to fit; `None` for any object.
    pub json_schema: Option<Value>,
    /// What OpenAI's APIs call the schema; `None` for `answer`.
    pub name: Option<String>,
    /// Whether to adhere exactly, where that is a choice; `None` for yes.
    pub strict: Option<bool>,
}

impl From<&ResponseFormat> for Value {
    fn from(format: &ResponseFormat) -> Self {
        Writer::default()
            .maybe("json_schema", format.json_schema.clone())
            .maybe("name", format.name.as_deref())
            .maybe("strict", format.strict)
            .done()
    }
}

fn list<'a, T>(items: &'a [T]) -> Value
where
    Value: From<&'a T>,
{
    Value::Array(items.iter().map(Value::from).collect())
}

fn extra(members: &[(String, Value)]) -> Option<Value> {
    (!members.is_empty()).then(|| Value::Object(members.to_vec()))
}
