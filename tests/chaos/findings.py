"""What an audit finds."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Findings:
    """What must not be, each as a sentence.

    `lost`: acknowledged and not stored. `doubled`: an event or a customer that stands more than once. `invented`:
    stored and never sent like that. `halved`: a row without what is written beside it, and points that do not add up.
    `wrong`: an answer that is not the first one, or that nobody should be given. `unproven`: what `rapport verify`
    says of the database.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    halved: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.lost, self.doubled, self.invented, self.halved, self.wrong, self.unproven))

    def first(self, most: int = 3) -> list[str]:
        kinds = {name: getattr(self, name) for name in self.__slots__}
        return [f"{name}: {what}" for name, found in kinds.items() for what in found[:most]]
