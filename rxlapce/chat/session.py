"""What a panel is started with: all that the command line knows, and the panel may not look for."""

from dataclasses import dataclass, field

from rxlapce.chat.conversation import Wishes
from rxlapce.chat.history import History
from rxlapce.chat.link import StartSimulator, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a panel is started with. `no_key` names the variables to set where no provider is configured.

    `typed` is what came from the terminal before the panel.
    """

    where: Where = field(default_factory=Where)
    model: str | None = None
    wishes: Wishes = field(default_factory=Wishes)
    history: History = field(default_factory=lambda: History(None))
    start_simulator: StartSimulator | None = None
    simulated_model: str = "simulator/sim"
    simulator: bool = False
    no_key: tuple[str, ...] = ()
    theme: str = "ansi-dark"
    typed: str = ""
