import resource

from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.sandbox import confinement
from strategy_engine.sandbox.model import ChildLimits, ConfinementReport, Layer

SIZES = st.integers(min_value=1 << 20, max_value=1 << 33)


@given(space=SIZES, data=SIZES, memory=SIZES)
def test_memory_is_limited_by_growth_whatever_the_size_at_the_fork(
    space: int, data: int, memory: int
) -> None:
    size = confinement.Size(address_space_bytes=space, data_bytes=data)

    limits = confinement.resource_limits(ChildLimits(memory_bytes=memory), size)
    hard = {which: high for which, _, high in limits}

    assert hard[resource.RLIMIT_DATA] - data == memory
    assert memory <= hard[resource.RLIMIT_AS] - space <= memory + (64 << 20)


@given(cpu_s=st.floats(min_value=0.01, max_value=1e5))
def test_the_hard_cpu_limit_follows_the_soft_one_by_a_second(cpu_s: float) -> None:
    size = confinement.Size(address_space_bytes=1, data_bytes=1)

    limits = confinement.resource_limits(ChildLimits(cpu_s=cpu_s), size)
    ((soft, hard),) = [each[1:] for each in limits if each[0] == resource.RLIMIT_CPU]

    assert cpu_s <= soft < cpu_s + 1
    assert hard == soft + 1


def test_files_cores_and_descriptors_are_limited_and_cpu_only_when_asked() -> None:
    size = confinement.Size(address_space_bytes=1, data_bytes=1)

    limits = confinement.resource_limits(ChildLimits(cpu_s=None, open_files=9), size)
    hard = {which: high for which, _, high in limits}

    assert hard[resource.RLIMIT_FSIZE] == 0
    assert hard[resource.RLIMIT_CORE] == 0
    assert hard[resource.RLIMIT_NOFILE] == 9
    assert resource.RLIMIT_CPU not in hard


def test_a_process_knows_its_own_size() -> None:
    size = confinement.size_of_self()

    assert 0 < size.data_bytes < size.address_space_bytes


def test_a_report_is_complete_only_when_every_layer_stands() -> None:
    standing = Layer(name="rlimits", is_on=True, why="")
    fallen = Layer(name="seccomp", is_on=False, why="the kernel has none")

    assert ConfinementReport(layers=(standing,)).is_complete
    assert not ConfinementReport(layers=(standing, fallen)).is_complete
    assert ConfinementReport(layers=(standing, fallen)).missing == (fallen,)
