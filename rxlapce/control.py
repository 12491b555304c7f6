"""What the control messages of the wire share."""

from typing import ClassVar

from dataclasses_json import DataClassJsonMixin


class Control(DataClassJsonMixin):
    """A message with a `type` tag beside its fields, and the mixin's conversions."""

    tag: ClassVar[str]
