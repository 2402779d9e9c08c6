"""What people do with Repositories, drawn by chance; and what should be there when they are done."""

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.k8s.installation import Installation
from tests.k8s.sources import code

FILES = (2, 6)
"""Of a new repository: least and most."""


@dataclass
class Repository:
    """What somebody made: where it is on the git server, how often each branch's index had to be built anew, at most, and how
    often each branch was put in."""

    source: str
    branches: list[str]
    builds: Counter[str] = field(default_factory=lambda: Counter(main=1))
    lives: Counter[str] = field(default_factory=lambda: Counter(main=1))


@dataclass
class People:
    """They create, change, push and delete. `present` by the Repository's name."""

    here: Installation
    chance: random.Random
    most: int
    present: dict[str, Repository] = field(default_factory=dict)
    deleted: dict[str, Repository] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    _files: int = 0

    async def act(self) -> None:
        """Does one thing."""
        acts = [self._push, self._push, self._change, self._branches]
        if len(self.present) < 3:
            await self._create()
            return
        if len(self.present) < self.most:
            acts += [self._create, self._create]
        await self.chance.choice([*acts, self._delete])()

    async def _create(self) -> None:
        name = f"repository-{len(self.present) + len(self.deleted)}"
        made = Repository(f"team/{name}", ["main"])
        self.here.git.push(made.source, self._code())
        self.present[name] = made
        await self.here.connect(name, made.source, indexSpaces=["completion"], schedule="* * * * *")
        self.done.append(f"create {name}")

    async def _push(self) -> None:
        name, one = self._one()
        branch = self.chance.choice(one.branches)
        self.here.git.push(one.source, self._code(), branch)
        one.builds[branch] += 1
        self.done.append(f"push {name} {branch}")

    async def _change(self) -> None:
        name, one = self._one()
        if self.chance.random() < 0.5:
            await self.here.change(name, priority=self.chance.randint(-5, 5), scaling={"maxWorkers": self.chance.randint(1, 3)})
        else:
            await self.here.change(name, selection={"exclude": [f"*_{self.chance.randint(0, 9)}.py"]})
            for branch in one.branches:
                one.builds[branch] += 1
        self.done.append(f"change {name}")

    async def _branches(self) -> None:
        name, one = self._one()
        if len(one.branches) > 1:
            one.branches.remove("next")
        else:
            self.here.git.push(one.source, self._code(), "next")
            one.branches.append("next")
            one.builds["next"] += 1
            one.lives["next"] += 1
        await self.here.change(name, branches=one.branches)
        self.done.append(f"branches of {name}: {one.branches}")

    async def _delete(self) -> None:
        name, one = self._one()
        del self.present[name]
        self.deleted[name] = one
        await self.here.delete(name)
        self.done.append(f"delete {name}")

    def _one(self) -> tuple[str, Repository]:
        return self.chance.choice(sorted(self.present.items(), key=lambda item: item[0]))

    def _code(self) -> dict[str, bytes]:
        count = self.chance.randint(*FILES)
        self._files += count
        return code(self._files - count, count)
