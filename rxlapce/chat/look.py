"""How the panel looks: Textual's style sheet. Colours are a theme's; what they say is said in words too."""

from typing import Final

from textual.theme import Theme

from rxlapce.chat.terminal import LIGHT_THEME

#: Textual's own light theme is grey: beside a white terminal it looks switched off.
LIGHT: Final = Theme(
    name=LIGHT_THEME,
    primary="#1a5fb4",
    secondary="#26734d",
    accent="#a84300",
    warning="#9a6700",
    error="#b3261e",
    success="#1f7a3d",
    foreground="#1c1c1c",
    background="#fcfcfc",
    surface="#f4f4f4",
    panel="#e6e8eb",
    dark=False,
)
STYLES: Final = """
Screen { layout: vertical; }
#bar { height: 1; background: $panel; color: $foreground; padding: 0 1; }
#bar > #who { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
#bar > #link { padding: 0 0 0 1; width: auto; max-width: 60%; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
#link.connected { color: $text-success; }
#link.connecting { color: $text-warning; }
#link.disconnected, #link.error { color: $text-error; }
* { scrollbar-size-vertical: 1; }
#transcript { height: 1fr; padding: 0 1; scrollbar-gutter: stable; }
Screen:ansi * { scrollbar-color: ansi_bright_black; scrollbar-color-hover: ansi_white; }
#transcript:focus { background-tint: $foreground 3%; }
#welcome { width: 100%; height: auto; padding: 1 2; }
#earlier { color: $text-muted; padding: 0 1; }
#notice { height: auto; max-height: 50%; border: round $warning; padding: 0 1; margin: 0 1; display: none; }
#notice.shown { display: block; }
Prompt { height: auto; min-height: 3; max-height: 33%; border: round $border-blurred; padding: 0 1; }
Prompt:focus { border: round $primary; }
AnswerView { height: auto; margin: 0 0 1 0; }
AnswerView > .question { width: 1fr; border-left: thick $primary; padding: 0 1; margin: 0 0 1 0; text-style: bold; }
AnswerView > Collapsible { background: transparent; border: none; padding: 0 0 0 1; margin: 0 0 1 0; display: none; }
AnswerView > Collapsible > Contents { padding: 0 0 0 3; }
AnswerView .thoughts { color: $text-muted; text-style: italic; }
AnswerText { height: auto; display: none; }
AnswerText > Markdown { padding: 0 1; margin: 0; max-width: 110; }
AnswerText > Plain { padding: 0 1; max-width: 110; }
AnswerText > Plain.code { border-left: outer $panel; padding: 0 2; margin: 0 1; }
AnswerText > Plain.code:ansi { padding: 0; }
AnswerText > Plain.code > Line { text-wrap: nowrap; text-overflow: ellipsis; }
Plain { height: auto; }
AnswerView > .calls { height: auto; display: none; }
AnswerView > .seams { color: $text-warning; padding: 0 1; display: none; }
AnswerView > .error { border: round $error; padding: 0 1; display: none; height: auto; max-width: 110; }
AnswerView > .figures { color: $text-muted; padding: 0 1; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
CallCard { height: auto; border: round $secondary; padding: 0 1; max-width: 110; }
MarkdownFence { border-left: outer $panel; }
MarkdownFence.copied { border-left: outer $success; }
Chooser, Help { align: center middle; }
#chooser, #help { width: 90%; max-width: 100; height: 80%; border: round $primary; background: $surface; padding: 0 1; }
#chooser > OptionList { height: 1fr; background: transparent; border: none; margin: 1 0 0 0; }
#help > Static { height: auto; }
"""
