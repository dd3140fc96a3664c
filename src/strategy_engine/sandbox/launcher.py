"""Zygotes as the engine holds them: started on demand, asked to fork, started again when dead."""

import asyncio
from collections.abc import Sequence

from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.sandbox import descriptors, rules, spawn
from strategy_engine.sandbox.child import Child, OnFrame
from strategy_engine.sandbox.life import Life, ZygoteDiedError
from strategy_engine.sandbox.model import (
    ChildDiedError,
    ChildExit,
    ChildLimits,
    ConfinementMode,
    ConfinementReport,
    ExitKind,
    Layer,
    NotConfinedError,
)
from strategy_engine.sandbox.probe import probe

__all__ = [
    "WARM_MODULES",
    "Child",
    "ChildDiedError",
    "ChildExit",
    "ChildLimits",
    "ConfinementMode",
    "ConfinementReport",
    "ExitKind",
    "Layer",
    "NotConfinedError",
    "OnFrame",
    "Zygote",
    "Zygotes",
    "probe",
]

RUNNER = "strategy_engine.kernel.child:main"
WARM_MODULES = {
    "lean": ("numpy", "talib", "kernel"),
    "scientific": ("numpy", "talib", "pandas", "scipy", "kernel"),
    "nautilus": ("numpy", "talib", "kernel", "nautilus"),
    "tests": ("numpy", "talib", "pytest", "kernel"),
}

_BIRTH_S = 10.0


class Zygote:
    """One kind of zygote: starts when it is first needed, and again when it died.

    Parameters
    ----------
    kind : str
        Which modules are warm: a key of `WARM_MODULES`.
    runner : str
        `module:function` that each child runs with its channel.
    extra_path : sequence of str
        Where else the zygote looks for modules.
    confinement : ConfinementMode
        How much of the wall each child must have before its code runs.
    """

    def __init__(
        self,
        kind: str,
        runner: str = RUNNER,
        extra_path: Sequence[str] = (),
        *,
        confinement: ConfinementMode = ConfinementMode.REQUIRE,
    ) -> None:
        if kind not in WARM_MODULES:
            raise InvalidError(
                f"there is no zygote of kind {kind!r}; there are: {', '.join(WARM_MODULES)}",
                field="kind",
                value=kind,
                accepted=list(WARM_MODULES),
            )
        self._recipe = spawn.Recipe(
            kind=kind,
            modules=WARM_MODULES[kind],
            runner=runner,
            extra_path=tuple(extra_path),
            confinement=confinement,
        )
        self._life: Life | None = None
        self._failures = 0
        self._is_stopped = False
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process of the zygote, while it lives."""
        return self._life.pid if self._life is not None and self._life.is_alive else None

    async def start(self) -> None:
        """Start it and wait until it is warm; nothing to do when it is.

        Raises
        ------
        UnavailableError
            If it cannot start; the message holds the last line that it printed.
        """
        self._is_stopped = False
        async with self._turn:
            await self._living()

    async def fork(self, limits: ChildLimits, label: str) -> Child:
        """Return a new child, shut in, that has reported its wall and waits for a frame.

        Raises
        ------
        UnavailableError
            If there is no zygote, or it has no child to give.
        ChildDiedError
            If the child died before it could report.
        NotConfinedError
            If a layer of its wall is missing and all are required; it never ran.
        """
        async with self._turn:
            child = await self._fork(limits, label)
        self._failures = 0
        try:
            await child.born(_BIRTH_S)
        except asyncio.CancelledError:
            child.kill("who asked for it did not wait")
            raise
        await self._refuse_unconfined(child)
        return child

    async def stop(self) -> None:
        """End it and every child of it, and wait until all are gone."""
        self._is_stopped = True
        if self._life is not None:
            await self._life.stop()

    async def _refuse_unconfined(self, child: Child) -> None:
        if self._recipe.confinement is ConfinementMode.REQUIRE and child.report.missing:
            child.kill("its wall is not whole")  # it ends by itself; this does not rely on that
            await child.exit
            raise NotConfinedError(child.report)

    async def _fork(self, limits: ChildLimits, label: str) -> Child:
        life = await self._living()
        try:
            return await life.fork(limits, label)
        except ZygoteDiedError:  # after its last child, and nobody had heard of it yet
            await life.gone()
        return await (await self._living()).fork(limits, label)

    async def _living(self) -> Life:
        self._refuse_when_stopped()
        if self._life is not None and self._life.is_alive:
            return self._life
        await asyncio.sleep(rules.back_off_s(self._failures))
        self._refuse_when_stopped()
        return await self._begin()

    async def _begin(self) -> Life:
        descriptors.raise_soft_limit()
        try:
            life = self._life = Life(self._recipe, self._on_death)
        except OSError as error:
            raise UnavailableError(f"no {self._recipe.kind} zygote: {error}") from error
        try:
            await life.warm()
        except asyncio.CancelledError:
            life.kill()
            raise
        return life

    def _on_death(self) -> None:
        if not self._is_stopped:
            self._failures += 1

    def _refuse_when_stopped(self) -> None:
        if self._is_stopped:
            raise UnavailableError(
                f"the {self._recipe.kind} zygote was stopped; start it before it can fork"
            )


class Zygotes:
    """A zygote of each kind, each started when a child of its kind is first asked for."""

    def __init__(
        self,
        runner: str = RUNNER,
        extra_path: Sequence[str] = (),
        *,
        confinement: ConfinementMode = ConfinementMode.REQUIRE,
    ) -> None:
        self._runner = runner
        self._confinement = confinement
        self._extra_path = tuple(extra_path)
        self._by_kind: dict[str, Zygote] = {}
        self._is_closed = False

    async def child(self, kind: str, limits: ChildLimits, label: str) -> Child:
        """Return a new child of a zygote of `kind`.

        Raises
        ------
        InvalidError
            If there is no such kind.
        UnavailableError
            If there is no zygote, or it has no child to give.
        ChildDiedError
            If the child died before it could report.
        NotConfinedError
            If a layer of its wall is missing and all are required; it never ran.
        """
        return await self._zygote(kind).fork(limits, label)

    async def warm(self, *kinds: str) -> None:
        """Start the zygotes of these kinds now, so that their first child need not wait."""
        for kind in kinds:
            await self._zygote(kind).start()

    async def aclose(self) -> None:
        """End every zygote and every child, and wait until all are gone."""
        self._is_closed = True
        async with asyncio.TaskGroup() as group:
            for zygote in self._by_kind.values():
                group.create_task(zygote.stop())

    def _zygote(self, kind: str) -> Zygote:
        if self._is_closed:
            raise UnavailableError("the sandbox is closed; it has no children to give")
        if kind not in self._by_kind:
            self._by_kind[kind] = Zygote(
                kind, self._runner, self._extra_path, confinement=self._confinement
            )
        return self._by_kind[kind]
