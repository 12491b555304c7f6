"""What InvokeModel sends to models that take a text: Titan, Llama, Mistral, Cohere's Command, AI21's Jurassic.

Each has a template for its turns and names of its own for the settings: `PROMPTS` has one line a model. Sources: the
Amazon Bedrock user guide, "Inference request parameters and response fields for foundation models"; Meta's "Model
cards and prompt formats" and Mistral's "Prompting" for their templates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rxlapce.dialects.plain_text import plain_text
from rxlapce.dialects.refusals import cannot, check_cache_lives, check_said
from rxlapce.requests import ChatRequest

#: Says a request in a vendor's words; the flag tells whether the answer is streamed.
Say = Callable[[ChatRequest, bool], dict[str, Any]]


class Turn(NamedTuple):
    """A turn of nothing but text; `role` is system, user or assistant."""

    role: str
    text: str


Write = Callable[[list[Turn], str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A model that takes a text.

    `write` makes the text of the turns, or raises `cannot` in the name of `who`. `words` are the settings that the
    model takes, by a request's names; they stand beside the text, or in the member `settings`. `streamed` is the member
    that says whether to stream, for a model that wants to be told in its body too.
    """

    who: str
    write: Write
    words: Mapping[str, str]
    text: str = "prompt"
    settings: str | None = None
    streamed: str | None = None

    def __call__(self, request: ChatRequest, stream: bool) -> dict[str, Any]:
        """The body. Raises `cannot` for tools, pictures, thoughts, and settings without a word."""
        body: dict[str, Any] = {self.text: self.write(turns(request, self.words, self.who), self.who)}
        settings = said(request, self.words)
        if settings:
            body.update(settings if self.settings is None else {self.settings: settings})
        if self.streamed is not None and stream:
            body[self.streamed] = True
        return body


def turns(request: ChatRequest, words: Mapping[str, str], who: str) -> list[Turn]:
    """The turns, developers' as the system's. Raises `cannot` for what is no text, and settings not in `words`."""
    check_said(request, words.keys(), who)
    check_cache_lives(request, who)
    if any(message.role == "tool" or message.calls() for message in request.messages):
        raise cannot(f"{who} takes no tools on InvokeModel: ask for it with Converse")
    roles = {"developer": "system"}
    return [Turn(roles.get(turn.role, turn.role), plain_text(turn, who)) for turn in request.messages]


def said(request: ChatRequest, words: Mapping[str, str]) -> dict[str, Any]:
    """The settings that are set, in the model's own names."""
    values = {word: getattr(request, name) for name, word in words.items()}
    return {word: value for word, value in values.items() if value not in (None, ())}


# -- templates --------------------------------------------------------------------------------------------------------


def one_turn(conversation: list[Turn], who: str) -> str:
    """The text of one user turn as it is."""
    if [turn.role for turn in conversation] != ["user"]:
        raise cannot(f"{who} has no template for turns on InvokeModel: send one user turn, or ask with Converse")
    return conversation[0].text


def titan(conversation: list[Turn], who: str) -> str:
    """One user turn as it is; more of them as `User:` and `Bot:`."""
    if any(turn.role == "system" for turn in conversation):
        raise cannot(f"{who} has no system turn: put its text into the user's")
    if len(conversation) == 1 and conversation[0].role == "user":
        return conversation[0].text
    speakers = {"user": "User", "assistant": "Bot"}
    lines = [f"{speakers[turn.role]}: {turn.text}" for turn in conversation]
    return "\n".join(lines if conversation[-1].role == "assistant" else [*lines, "Bot:"])


@dataclass(frozen=True, slots=True)
class Headers:
    """Llama's template: each turn has a header with its role, and an end. An assistant's turn at the end stays open."""

    start: str
    end: str
    turn_end: str
    begin: str = "<|begin_of_text|>"

    def __call__(self, conversation: list[Turn], who: str) -> str:
        """The text. Raises `cannot` for turns that hold the template's own marks."""
        _check_marks(conversation, (self.begin, self.start, self.end, self.turn_end), who)
        said = [f"{self.start}{turn.role}{self.end}\n\n{turn.text}{self.turn_end}" for turn in conversation]
        if conversation[-1].role == "assistant":
            said[-1] = said[-1].removesuffix(self.turn_end)
        else:
            said.append(f"{self.start}assistant{self.end}\n\n")
        return self.begin + "".join(said)


def mistral(conversation: list[Turn], who: str) -> str:
    """`<s>[INST] user [/INST] assistant</s>[INST] user [/INST]`; the system's text begins the first user turn."""
    _check_marks(conversation, ("<s>", "</s>", "[INST]", "[/INST]"), who)
    system = [turn.text for turn in conversation if turn.role == "system" and turn.text]
    spoken: list[Turn] = []
    for turn in conversation:
        if turn.role == "system":
            continue
        if spoken and spoken[-1].role == turn.role:
            spoken[-1] = Turn(turn.role, f"{spoken[-1].text}\n\n{turn.text}")
        else:
            spoken.append(turn)
    if not spoken or spoken[0].role != "user":
        raise cannot(f"{who} needs a user turn first")
    spoken[0] = Turn("user", "\n\n".join([*system, spoken[0].text]))
    said = [f"[INST] {turn.text} [/INST]" if turn.role == "user" else f" {turn.text}</s>" for turn in spoken]
    if spoken[-1].role == "assistant":
        said[-1] = said[-1].removesuffix("</s>")
    return "<s>" + "".join(said)


def _check_marks(conversation: list[Turn], marks: tuple[str, ...], who: str) -> None:
    """A mark in a turn's text would be read as a mark: a turn could end there and another speaker begin."""
    for turn in conversation:
        mark = next((mark for mark in marks if mark in turn.text), None)
        if mark is not None:
            raise cannot(f"a turn holds {mark}, which {who} reads as the end or start of one: ask for it with Converse")


# -- Command R --------------------------------------------------------------------------------------------------------

_COMMAND_R_WORDS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
}


def command_r(request: ChatRequest, stream: bool) -> dict[str, Any]:
    """A message with the turns before it as its history.

    Tools are refused: Cohere describes their parameters one by one, by a Python type each, which JSON Schema is not.
    """
    who = "Cohere's Command R"
    conversation = turns(request, _COMMAND_R_WORDS, who)
    system = [turn.text for turn in conversation if turn.role == "system" and turn.text]
    spoken = [turn for turn in conversation if turn.role != "system"]
    if not spoken or spoken[-1].role != "user":
        raise cannot(f"{who} needs a user turn at the end")
    roles = {"user": "USER", "assistant": "CHATBOT"}
    history = [{"role": roles[turn.role], "message": turn.text} for turn in spoken[:-1]]
    members = {
        "message": spoken[-1].text,
        "chat_history": history or None,
        "preamble": "\n\n".join(system) or None,
        **said(request, _COMMAND_R_WORDS),
    }
    return {name: value for name, value in members.items() if value is not None}


# -- models -----------------------------------------------------------------------------------------------------------

_TITAN: Final = Prompt(
    who="Titan",
    write=titan,
    text="inputText",
    settings="textGenerationConfig",
    words={
        "max_tokens": "maxTokenCount",
        "temperature": "temperature",
        "top_p": "topP",
        "stop": "stopSequences",
    },
)
_LLAMA_WORDS: Final = {"max_tokens": "max_gen_len", "temperature": "temperature", "top_p": "top_p"}
_MISTRAL: Final = Prompt(
    who="Mistral's text completion",
    write=mistral,
    words={name: name for name in ("max_tokens", "temperature", "top_p", "top_k", "stop")},
)

#: A part of the model's id -> what says a request to it. The first part that an id holds decides.
PROMPTS: Final[dict[str, Say]] = {
    "amazon.titan-t": _TITAN,  # titan-text-..., titan-tg1-large; not titan-embed or titan-image
    "meta.llama3": Prompt(
        who="Llama 3",
        write=Headers("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        words=_LLAMA_WORDS,
    ),
    "meta.llama4": Prompt(
        who="Llama 4",
        write=Headers("<|header_start|>", "<|header_end|>", "<|eot|>"),
        words=_LLAMA_WORDS,
    ),
    "mistral.mistral-7b": _MISTRAL,
    "mistral.mixtral-8x7b": _MISTRAL,
    "mistral.mistral-small-2402": _MISTRAL,
    "mistral.mistral-large-2402": _MISTRAL,
    "cohere.command-r": command_r,
    "cohere.command": Prompt(
        who="Cohere's Command",
        write=one_turn,
        streamed="stream",
        words={
            "max_tokens": "max_tokens",
            "temperature": "temperature",
            "top_p": "p",
            "top_k": "k",
            "stop": "stop_sequences",
            "n": "num_generations",
        },
    ),
    "ai21.j2": Prompt(
        who="AI21's Jurassic",
        write=one_turn,
        words={
            "max_tokens": "maxTokens",
            "temperature": "temperature",
            "top_p": "topP",
            "stop": "stopSequences",
            "n": "numResults",
        },
    ),
}
