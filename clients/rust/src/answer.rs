//! The whole answer out of its tokens, with seams obeyed.

use std::collections::BTreeMap;

use crate::message::Call;
use crate::request::{Message, OpaquePart, Part, RequestedCall, Role};
use crate::token::{Finish, SeamWord, Token, Usage};

/// Collects the tokens of one stream; what it has is right at any time, also when the stream broke off.
///
/// It keeps what the protocol says that a client has: the tokens that no seam has discarded, in their order, pieces of
/// one thing joined. Memory: the answer's own size.
///
/// ```
/// use rxlapce_client::{Answer, Token};
/// let mut answer = Answer::new();
/// answer.add(Token::Text { text: "Hel".into(), choice: 0 });
/// answer.add(Token::Seam { leg: 1, reason: "continue: b/m answers".into() });
/// answer.add(Token::Text { text: "lo".into(), choice: 0 });
/// assert_eq!(answer.text(), "Hello");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    kept: Vec<Token>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    seams: u64,
}

impl Answer {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next token of the stream.
    pub fn add(&mut self, token: Token) {
        match token {
            Token::Usage(usage) => self.usage = Some(*usage),
            Token::Finish(finish) => self.finish = Some(finish),
            Token::Seam { reason, .. } => {
                self.seams += 1;
                match SeamWord::of(&reason) {
                    SeamWord::Continue => {}
                    SeamWord::Rewind => {
                        let is_call = |token: &Token| matches!(token, Token::ToolCall { .. });
                        self.kept.truncate(self.kept.iter().position(is_call).unwrap_or(self.kept.len()));
                    }
                    SeamWord::Restart => self.kept.clear(),
                }
            }
            token => {
                let rest = match self.kept.last_mut() {
                    Some(last) => join(last, token),
                    None => Some(token),
                };
                self.kept.extend(rest);
            }
        }
    }

    /// The visible text of the first answer. Ask for it whenever a seam came: it may be shorter than before.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_of(0)
    }

    /// The visible text of one answer of several.
    #[must_use]
    pub fn text_of(&self, wanted: i64) -> String {
        let piece = |token| match token {
            &Token::Text { ref text, choice } if choice == wanted => Some(&**text),
            _ => None,
        };
        self.kept.iter().filter_map(piece).collect()
    }

    /// The thinking of one answer.
    #[must_use]
    pub fn reasoning_of(&self, wanted: i64) -> String {
        let piece = |token| match token {
            &Token::Reasoning { ref text, choice, .. } if choice == wanted => Some(&**text),
            _ => None,
        };
        self.kept.iter().filter_map(piece).collect()
    }

    /// The refusal of one answer; `None` if there is none.
    #[must_use]
    pub fn refusal_of(&self, wanted: i64) -> Option<String> {
        let piece = |token| match token {
            &Token::Refusal { ref text, choice } if choice == wanted => Some(&**text),
            _ => None,
        };
        let mut pieces = self.kept.iter().filter_map(piece).peekable();
        pieces.peek()?;
        Some(pieces.collect())
    }

    /// The tool calls of one answer, by their index. They are not settled before [`finish`](Self::finish) is there: a
    /// client must not carry one out earlier.
    #[must_use]
    pub fn tool_calls_of(&self, wanted: i64) -> Vec<Call> {
        self.calls(wanted).into_values().collect()
    }

    fn calls(&self, wanted: i64) -> BTreeMap<i64, Call> {
        let mut calls = BTreeMap::<i64, Call>::new();
        for token in &self.kept {
            if let Token::ToolCall { index, id, name, arguments_delta, choice } = token {
                if *choice == wanted {
                    let call = calls.entry(*index).or_default();
                    call.id = call.id.take().or_else(|| id.clone());
                    call.name = call.name.take().or_else(|| name.clone());
                    call.arguments.push_str(arguments_delta);
                }
            }
        }
        calls
    }

    /// The last report of what it took.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// How it ended; `None` while it goes on, and where it failed.
    #[must_use]
    pub fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// How many seams it has.
    #[must_use]
    pub fn seams(&self) -> u64 {
        self.seams
    }

    /// What it has, in order: pieces that belong together and came one behind the other are one token.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.kept
    }

    /// The first answer as the assistant's turn to send back in the next request, with all that must go back unchanged:
    /// thoughts with their signatures, text, calls and opaque pieces, each where it was said.
    #[must_use]
    pub fn turn(&self) -> Message {
        let mut calls = self.calls(0);
        let mut parts = Vec::<Part>::new();
        for token in &self.kept {
            match token {
                Token::Text { text, choice: 0 } | Token::Refusal { text, choice: 0 } if !text.is_empty() => {
                    match parts.last_mut() {
                        Some(Part { text: Some(before), .. }) => before.push_str(text),
                        _ => parts.push(Part::text(&**text)),
                    }
                }
                Token::Reasoning { text, signature, choice: 0 }
                    if !text.is_empty() || signature.is_some() =>
                {
                    match parts.last_mut() {
                        Some(Part { reasoning: Some(before), signature: ending @ None, .. }) => {
                            before.push_str(text);
                            ending.clone_from(signature);
                        }
                        _ => parts.push(Part {
                            reasoning: Some(text.clone()),
                            signature: signature.clone(),
                            ..Part::default()
                        }),
                    }
                }
                Token::ToolCall { index, choice: 0, .. } => {
                    if let Some(call) = calls.remove(index) {
                        let tool_call = Some(RequestedCall {
                            id: call.id.unwrap_or_else(|| format!("call_{index}")),
                            name: call.name.unwrap_or_default(),
                            arguments: call.arguments,
                        });
                        parts.push(Part { tool_call, ..Part::default() });
                    }
                }
                Token::Opaque { kind, raw, choice: 0 } => {
                    let opaque = Some(OpaquePart { kind: kind.clone(), raw: raw.clone() });
                    parts.push(Part { opaque, ..Part::default() });
                }
                _ => {}
            }
        }
        match &mut parts[..] {
            [Part { text: Some(text), .. }] => Message::assistant(std::mem::take(text)),
            _ => Message { parts, ..Message::new(Role::Assistant, "") },
        }
    }
}

/// Joins `next` to `last` where the two are pieces of one thing; else gives it back.
fn join(last: &mut Token, next: Token) -> Option<Token> {
    match (last, next) {
        (Token::Text { text, choice }, Token::Text { text: more, choice: same })
        | (Token::Refusal { text, choice }, Token::Refusal { text: more, choice: same })
            if *choice == same =>
        {
            text.push_str(&more);
        }
        // A signature ends its thought: what comes behind it is another.
        (
            Token::Reasoning { text, signature: ending @ None, choice },
            Token::Reasoning { text: more, signature, choice: same },
        ) if *choice == same => {
            text.push_str(&more);
            *ending = signature;
        }
        (
            Token::ToolCall { index, id, name, arguments_delta, choice },
            Token::ToolCall { index: of, id: new_id, name: new_name, arguments_delta: more, choice: same },
        ) if *index == of && *choice == same => {
            arguments_delta.push_str(&more);
            *id = id.take().or(new_id);
            *name = name.take().or(new_name);
        }
        (_, next) => return Some(next),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Token {
        Token::Text { text: text.into(), choice: 0 }
    }

    fn call(index: i64, id: Option<&str>, arguments: &str) -> Token {
        let (id, name) = (id.map(Into::into), id.map(|_| "f".into()));
        Token::ToolCall { index, id, name, arguments_delta: arguments.into(), choice: 0 }
    }

    fn thought(text: &str, signature: Option<&str>) -> Token {
        Token::Reasoning { text: text.into(), signature: signature.map(Into::into), choice: 0 }
    }

    fn seam(reason: &str) -> Token {
        Token::Seam { leg: 1, reason: reason.into() }
    }

    fn answer(tokens: impl IntoIterator<Item = Token>) -> Answer {
        let mut answer = Answer::new();
        tokens.into_iter().for_each(|token| answer.add(token));
        answer
    }

    #[test]
    fn seams_keep_what_their_word_says() {
        let said = || {
            [
                text("It "),
                thought("hm", None),
                text("is"),
                call(0, Some("a"), "{"),
                text(" so"),
                call(1, Some("b"), ""),
            ]
        };
        for (reason, kept, calls) in [
            ("continue: x answers", "It is so!", 2),
            ("rewind: x answers", "It is!", 0),
            ("rewind", "It is!", 0),
            ("restart", "!", 0),
            ("Restart: x", "It is so!", 2),
            ("", "It is so!", 2),
        ] {
            let answer = answer(said().into_iter().chain([seam(reason), text("!")]));
            assert_eq!((&*answer.text(), answer.tool_calls_of(0).len()), (kept, calls), "{reason:?}");
            assert_eq!(answer.seams(), 1);
        }
    }

    #[test]
    fn a_rewind_without_a_call_discards_nothing() {
        assert_eq!(answer([text("a"), seam("rewind"), text("b")]).text(), "ab");
    }

    #[test]
    fn a_rewind_discards_whatever_stands_behind_the_first_call_of_any_choice() {
        let other =
            Token::ToolCall { index: 0, id: None, name: None, arguments_delta: String::new(), choice: 1 };
        let opaque = Token::Opaque { kind: "k".into(), raw: "1".into(), choice: 0 };
        let answer = answer([text("a"), opaque.clone(), other, opaque.clone(), text("b"), seam("rewind: x")]);
        assert_eq!(answer.tokens(), [text("a"), opaque]);
    }

    #[test]
    fn calls_after_a_rewind_are_new_ones() {
        let answer = answer([
            call(0, Some("a"), "{\"x"),
            seam("rewind: x"),
            call(0, Some("b"), "{"),
            call(0, None, "}"),
        ]);
        let whole = Call { id: Some("b".into()), name: Some("f".into()), arguments: "{}".into() };
        assert_eq!(answer.tool_calls_of(0), [whole]);
    }

    #[test]
    fn usage_is_the_last_report_whatever_a_seam_discards() {
        let usage = |input| Token::Usage(Box::new(Usage { input: Some(input), ..Usage::default() }));
        let answer = answer([usage(1), usage(2), seam("restart: x")]);
        assert_eq!(answer.usage().and_then(|usage| usage.input), Some(2));
    }

    #[test]
    fn choices_are_kept_apart() {
        let other = |text: &str| Token::Text { text: text.into(), choice: 1 };
        let no = Token::Refusal { text: "No.".into(), choice: 1 };
        let answer = answer([text("a"), other("x"), text("b"), other("y"), no]);
        assert_eq!((answer.text(), answer.text_of(1)), ("ab".into(), "xy".into()));
        assert_eq!((answer.refusal_of(0), answer.refusal_of(1)), (None, Some("No.".into())));
    }

    #[test]
    fn the_turn_to_send_back_has_everything_in_its_place() {
        let opaque = Token::Opaque { kind: "k".into(), raw: "{}".into(), choice: 0 };
        let answer = answer([
            thought("Let me ", None),
            thought("see.", None),
            thought("", Some("s")),
            text("On"),
            text("e"),
            opaque,
            call(1, Some("b"), "{"),
            call(0, None, "0"),
            call(1, None, "}"),
            text("Two"),
        ]);
        let turn = crate::json::Value::from(&answer.turn()).to_string();
        assert_eq!(
            turn,
            concat!(
                r#"{"role":"assistant","parts":[{"reasoning":"Let me see.","signature":"s"},{"text":"One"},"#,
                r#"{"opaque":{"kind":"k","raw":"{}"}},{"tool_call":{"id":"b","name":"f","arguments":"{}"}},"#,
                r#"{"tool_call":{"id":"call_0","name":"","arguments":"0"}},{"text":"Two"}]}"#
            )
        );
        assert_eq!(super::Answer::new().turn(), Message::new(Role::Assistant, ""));
    }

    #[test]
    fn a_turn_of_text_alone_is_text() {
        assert_eq!(answer([text("a"), text(""), text("b")]).turn(), Message::assistant("ab"));
    }
}
