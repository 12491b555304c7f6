//! Asks a daemon in one way or another, and says what came as JSON, one line each: for tests that have a real daemon.
//!
//! ```text
//! probe PATH TRANSPORT SCENARIO [MODEL [COUNT]]
//! ```
//!
//! `RXLAPCE_KEY_FILE` names a key file to sign by, `PROBE_WINDOW` the window of each stream.

use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use rxlapce_client::json::Value;
use rxlapce_client::{
    Answer, Call, ChatRequest, Client, CompletionRequest, Error, Message, Notice, Result, SigningKey,
    TokenStream, Tool, Transport,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map(String::as_str);
    let (Some(path), Some(transport), Some(scenario)) = (argument(0), argument(1), argument(2)) else {
        eprintln!("usage: probe PATH TRANSPORT SCENARIO [MODEL [COUNT]]");
        std::process::exit(2);
    };
    let (model, count) = (argument(3).unwrap_or_default(), argument(4).and_then(|count| count.parse().ok()));
    let told = connect(path, transport).and_then(|client| {
        say([("transport", client.transport().as_str().into()), ("server", (&*client.ack().server).into())]);
        play(client, scenario, model, count.unwrap_or(1))
    });
    if let Err(error) = told {
        say([("failed", failure(&error))]);
    }
}

fn connect(path: &str, transport: &str) -> Result<Client> {
    let transport = if transport == "shm" { Transport::Shm } else { Transport::Socket };
    let mut options =
        Client::options().path(path).name("probe").transport(transport).on_notice(|notice| match notice {
            Notice::Draining(within) => say([("draining", within.as_secs_f64().into())]),
            Notice::Lost(error) => say([("lost", failure(&error))]),
            _ => {}
        });
    if let Some(file) = std::env::var_os("RXLAPCE_KEY_FILE") {
        options = options.key(SigningKey::read(file, None)?);
    }
    if let Some(window) = std::env::var("PROBE_WINDOW").ok().and_then(|window| window.parse().ok()) {
        options = options.window(window);
    }
    options.connect()
}

fn play(client: Client, scenario: &str, model: &str, count: usize) -> Result<()> {
    let request = ChatRequest::new(model, [Message::user("hello")]);
    match scenario {
        "stream" => read(client.chat_stream(&request)?, Answer::new()),
        "tools" => {
            let tool = Tool { name: "look".into(), description: "Looks.".into(), ..Tool::default() };
            let request = ChatRequest { tools: vec![tool], tool_choice: Some("required".into()), ..request };
            read(client.chat_stream(&request)?, Answer::new());
        }
        "complete_stream" => {
            read(client.complete_stream(&CompletionRequest::new(model, "def f"))?, Answer::new());
        }
        "callback" => callback(&client, &request)?,
        "many" => many(&client, &request, count)?,
        "begun" => {
            let mut stream = client.chat_stream(&request)?;
            let answer = take(&mut stream, count)?;
            say([("begun", count_of(count))]);
            read(stream, answer);
        }
        "cancel" => {
            let mut stream = client.chat_stream(&request)?;
            let answer = take(&mut stream, count)?;
            stream.cancel();
            read(stream, answer);
            client.ping(PATIENCE)?;
        }
        "drop" => {
            let mut stream = client.chat_stream(&request)?;
            take(&mut stream, count)?;
            drop(stream);
            while client.under_way() > 0 {
                client.ping(PATIENCE)?;
            }
            say([("under_way", count_of(client.under_way()))]);
        }
        "slow" => {
            // One stream is not read while another runs to its end beside it.
            let mut slow = client.chat_stream(&request)?;
            let begun = take(&mut slow, 1)?;
            read(client.chat_stream(&request)?, Answer::new());
            read(slow, begun);
        }
        "chat" => {
            let answer = client.chat(&request)?.wait_for(PATIENCE)?;
            say([
                ("text", answer.text.into()),
                ("finish", answer.finish.as_str().into()),
                ("turn", answer.turn.as_ref().map_or(Value::Null, Value::from)),
            ]);
        }
        "complete" => {
            let completion = client.complete(&CompletionRequest::new(model, "def f"))?.wait_for(PATIENCE)?;
            say([("text", completion.text.into()), ("finish", completion.finish.as_str().into())]);
        }
        "questions" => {
            client.ping(PATIENCE)?;
            let models = client.models(None)?.wait_for(PATIENCE)?;
            say([("models", models.models.into_iter().map(|entry| entry.name).collect::<Vec<_>>().into())]);
            say([("status", client.status()?.wait_for(PATIENCE)?)]);
        }
        "impatient" => {
            let late = client.chat(&request)?.wait_for(Duration::from_millis(50));
            say([("late", late.err().as_ref().map_or(Value::Null, failure))]);
            client.ping(PATIENCE)?;
        }
        "leave" => {
            let stream = client.chat_stream(&request)?;
            client.close();
            read(stream, Answer::new());
        }
        other => eprintln!("no scenario {other:?}"),
    }
    Ok(())
}

/// The first `count` tokens.
fn take(stream: &mut TokenStream, count: usize) -> Result<Answer> {
    let mut answer = Answer::new();
    for token in stream.by_ref().take(count) {
        answer.add(token?);
    }
    Ok(answer)
}

/// The rest of a stream, told.
fn read(stream: TokenStream, mut answer: Answer) {
    let error = stream.read_into(&mut answer).err();
    say_answer(&answer, error.as_ref());
}

fn callback(client: &Client, request: &ChatRequest) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    let subscription = client.chat_stream_to(request, move |token| {
        let _nobody = sender.send(token);
    })?;
    let mut answer = Answer::new();
    let error = receiver.iter().find_map(|token| match token {
        Ok(token) => {
            answer.add(token);
            None
        }
        Err(error) => Some(error),
    });
    say_answer(&answer, error.as_ref());
    drop(subscription);
    Ok(())
}

/// `count` streams at once, each asked and read by a thread of its own; `COUNT` in the model's name is its number.
fn many(client: &Client, request: &ChatRequest, count: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let request =
                    ChatRequest { model: request.model.replace("COUNT", &n.to_string()), ..request.clone() };
                scope.spawn(move || client.chat_stream(&request).map(|stream| read(stream, Answer::new())))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

fn say_answer(answer: &Answer, error: Option<&Error>) {
    let usage = answer.usage().map_or(Value::Null, |usage| {
        Value::Array([usage.input, usage.output].map(|number| number.map_or(Value::Null, Value::from)).into())
    });
    let finish = answer.finish();
    let text = |text: Option<&String>| text.map_or(Value::Null, |text| Value::from(&**text));
    say([
        ("text", answer.text().into()),
        ("reasoning", answer.reasoning_of(0).into()),
        ("calls", answer.tool_calls_of(0).iter().map(told_call).collect::<Vec<_>>().into()),
        ("finish", finish.map_or(Value::Null, |finish| finish.kind.as_str().into())),
        ("finish_raw", text(finish.and_then(|finish| finish.raw.as_ref()))),
        ("model", text(finish.and_then(|finish| finish.model.as_ref()))),
        ("usage", usage),
        ("seams", answer.seams().into()),
        ("error", error.map_or(Value::Null, failure)),
    ]);
}

fn told_call(call: &Call) -> Value {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    Value::Array(vec![text(&call.id), text(&call.name), (&*call.arguments).into()])
}

fn failure(error: &Error) -> Value {
    let kind = match error {
        Error::Request(body) => body.kind.as_str(),
        Error::ConnectionLost(_) => "ConnectionLost",
        Error::NotRunning { .. } => "NotRunning",
        Error::TimedOut(_) => "TimedOut",
        other => other.name().unwrap_or("other"),
    };
    let delivered = error.request().and_then(|body| body.delivered_chars).map_or(Value::Null, Value::from);
    object([("kind", kind.into()), ("message", error.to_string().into()), ("delivered_chars", delivered)])
}

fn count_of(count: usize) -> Value {
    Value::Unsigned(count as u64)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// One line. Who no longer reads is of no interest.
fn say<const N: usize>(members: [(&str, Value); N]) {
    let mut out = std::io::stdout().lock();
    let _nobody = writeln!(out, "{}", object(members)).and_then(|()| out.flush());
}
