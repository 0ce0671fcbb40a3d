"""The steps that a plan is made of. `agent.act` carries each of them out; a failed one is planned again later."""

from __future__ import annotations

from dataclasses import dataclass

from navarch.agent.facts import StepKey


@dataclass(frozen=True, slots=True)
class MountVolumes:
    """Make everything that the pod's containers mount."""

    @property
    def key(self) -> StepKey:
        return ("volumes", "")


@dataclass(frozen=True, slots=True)
class RefreshVolumes:
    """Write again what came from objects that have changed, and tokens that get old."""

    @property
    def key(self) -> StepKey:
        return ("refresh", "")


@dataclass(frozen=True, slots=True)
class Allot:
    """Give the pod's containers what they have to themselves, or refuse the pod."""

    @property
    def key(self) -> StepKey:
        return ("allot", "")


@dataclass(frozen=True, slots=True)
class PrepareClaims:
    """Have drivers prepare the devices that the pod's claims were given."""

    @property
    def key(self) -> StepKey:
        return ("claims", "")


@dataclass(frozen=True, slots=True)
class UnprepareClaims:
    """Have drivers take back what only this pod had."""

    @property
    def key(self) -> StepKey:
        return ("unclaim", "")


@dataclass(frozen=True, slots=True)
class BindContainer:
    """Let a running container run on other CPUs than before."""

    container: str
    container_id: str

    @property
    def key(self) -> StepKey:
        return ("bind", self.container)


@dataclass(frozen=True, slots=True)
class StartSandbox:
    attempt: int

    @property
    def key(self) -> StepKey:
        return ("sandbox", "")


@dataclass(frozen=True, slots=True)
class EnsureImage:
    container: str

    @property
    def key(self) -> StepKey:
        return ("image", self.container)


@dataclass(frozen=True, slots=True)
class StartContainer:
    """attempt: the restart count it gets. delay_s: the back-off that came before this start, remembered with it."""

    container: str
    sandbox_id: str
    attempt: int
    delay_s: int = 0

    @property
    def key(self) -> StepKey:
        return ("start", self.container)


@dataclass(frozen=True, slots=True)
class StopContainer:
    """message: why, as the event says it. hurry: it is being stopped already, but has less time now.

    hook: whether its own hook before the stop is to run; what has run it was told to stop already.
    """

    container: str
    container_id: str
    grace_s: float
    message: str
    reason: str = "Killing"
    hurry: bool = False
    hook: bool = True

    @property
    def key(self) -> StepKey:
        return ("hurry" if self.hurry else "stop", self.container_id)


@dataclass(frozen=True, slots=True)
class RunPreStop:
    """Run the hook of a container whose turn to stop comes later."""

    container: str
    container_id: str
    grace_s: float
    message: str

    @property
    def key(self) -> StepKey:
        return ("stop", self.container_id)


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container the resources that the pod now asks for."""

    container: str
    container_id: str

    @property
    def key(self) -> StepKey:
        return ("resize", self.container)


@dataclass(frozen=True, slots=True)
class ResizePod:
    """Give the running pod as a whole the resources that it now asks for."""

    @property
    def key(self) -> StepKey:
        return ("resize", "")


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    container_id: str

    @property
    def key(self) -> StepKey:
        return ("remove", self.container_id)


@dataclass(frozen=True, slots=True)
class StopSandbox:
    sandbox_id: str

    @property
    def key(self) -> StepKey:
        return ("stop", self.sandbox_id)


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    sandbox_id: str

    @property
    def key(self) -> StepKey:
        return ("remove", self.sandbox_id)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Take the pod's volumes, groups and directories away; its logs stay until it is deleted."""

    @property
    def key(self) -> StepKey:
        return ("clean", "")


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing of it is left on the node: remove the object itself."""

    @property
    def key(self) -> StepKey:
        return ("finish", "")


Step = (
    MountVolumes
    | RefreshVolumes
    | StartSandbox
    | EnsureImage
    | StartContainer
    | StopContainer
    | RunPreStop
    | ResizeContainer
    | RemoveContainer
    | Allot
    | PrepareClaims
    | UnprepareClaims
    | BindContainer
    | ResizePod
    | StopSandbox
    | RemoveSandbox
    | CleanUp
    | Finish
)
