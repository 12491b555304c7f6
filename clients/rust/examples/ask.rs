//! Asks the daemon, and streams the answer into the terminal.
//!
//! ```text
//! ask [--socket | --shm] MODEL PROMPT
//! ```
//!
//! Exit codes: 0 for a whole answer, 1 for a failed request, 2 for wrong arguments, 3 for no connection or a lost one.
//! `RXLAPCE_KEY_FILE` names a key file to sign by.

use std::io::{self, Write as _};
use std::process::ExitCode;

use rxlapce_client::{Answer, ChatRequest, Client, Error, Message, SigningKey, Token, Transport};

const USAGE: &str = "usage: ask [--socket | --shm] MODEL PROMPT";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut transport = Transport::Shm;
    if let Some("--socket" | "--shm") = arguments.first().map(String::as_str) {
        if arguments.remove(0) == "--socket" {
            transport = Transport::Socket;
        }
    }
    let [model, prompt] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match ask(transport, model, prompt) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nask: {error}");
            ExitCode::from(if error.request().is_some() { 1 } else { 3 })
        }
    }
}

fn ask(transport: Transport, model: &str, prompt: &str) -> Result<(), Error> {
    let mut options = Client::options().name("ask").transport(transport);
    if let Some(path) = std::env::var_os("RXLAPCE_KEY_FILE") {
        options = options.key(SigningKey::read(path, None)?);
    }
    let client = options.connect()?;
    if let Some(reason) = &client.ack().reason {
        eprintln!("ask: by the {}, since {reason}", client.transport());
    }
    let request = ChatRequest::new(model, [Message::user(prompt)]);
    let mut answer = Answer::new();
    for token in client.chat_stream(&request)? {
        let token = token?;
        match &token {
            Token::Text { text, choice: 0 } => show(text),
            Token::Seam { .. } => {
                let before = answer.text();
                answer.add(token);
                // What is printed cannot be taken back: say it once more, as it stands now.
                if answer.text() != before {
                    show(&format!("\n---\n{}", answer.text()));
                }
                continue;
            }
            _ => {}
        }
        answer.add(token);
    }
    show("\n");
    Ok(())
}

fn show(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody may be reading any more, as behind `| head`.
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
