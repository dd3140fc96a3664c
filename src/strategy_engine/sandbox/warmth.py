"""What a zygote does once so that no child has to: import, and run each library a first time."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

# By name: they live above this room.
KERNEL_RUN = "strategy_engine.kernel.warm"
NAUTILUS_RUN = "strategy_engine.kernel.native.warm"
# TA-Lib wraps every function for these when they are installed: 1.1 s, 50 MB and a second thread,
# for children that never see a data frame.
_HEAVY_AND_OPTIONAL = ("pandas", "polars")


def warm(modules: Iterable[str]) -> None:
    """Import each module, and exercise those whose first use is slow or allocates for ever."""
    for name in modules:
        if name in WARMERS:
            WARMERS[name]()
        else:
            importlib.import_module(name)


@contextmanager
def _absent(names: Iterable[str]) -> Iterator[None]:
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "cannot be imported"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _warm_talib() -> None:
    with _absent(_HEAVY_AND_OPTIONAL):
        import numpy as np  # noqa: PLC0415  (only a zygote that asks for it pays for it)
        import talib  # noqa: PLC0415  (the same)
    talib.RSI(np.arange(64.0), timeperiod=14)


def _warm_pandas() -> None:
    import pandas as pd  # noqa: PLC0415  (only a zygote that asks for it pays for it)

    frame = pd.DataFrame({"close": [1.0, 2.0, 3.0]}, index=pd.date_range("2017", periods=3))
    frame["close"].rolling(2).mean().describe()


def _warm_scipy() -> None:
    # A strategy names what it uses; what is not named here it imports itself, slowly.
    for name in ("scipy.linalg", "scipy.optimize", "scipy.signal", "scipy.special", "scipy.stats"):
        importlib.import_module(name)


def _warm_kernel() -> None:
    importlib.import_module(KERNEL_RUN).run()


def _warm_nautilus() -> None:
    importlib.import_module(NAUTILUS_RUN).run()


def _warm_pytest() -> None:
    import pytest  # noqa: PLC0415  (only a zygote that asks for it pays for it)

    class Nothing(pytest.Item):
        def runtest(self) -> None:
            """Pass."""

    class OneTest:
        @pytest.hookimpl(tryfirst=True)
        def pytest_collection(self, session: pytest.Session) -> bool:
            session.items = [Nothing.from_parent(session, name="warm")]
            session.testscollected = 1
            return True

    code = pytest.main(list(PYTEST_FLAGS), plugins=[OneTest()])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"pytest's first run ended with {code!r}; it must pass to be of any use")


PYTEST_FLAGS = (
    "--disable-plugin-autoload",
    "--noconftest",
    "--capture=sys",
    "--config-file=/dev/null",
    "--rootdir=/",
    *("-p", "no:cacheprovider"),
    *("-p", "no:terminal"),
    *("-p", "no:logging"),
    *("-p", "no:faulthandler"),
)

WARMERS: dict[str, Callable[[], None]] = {
    "talib": _warm_talib,
    "pandas": _warm_pandas,
    "scipy": _warm_scipy,
    "kernel": _warm_kernel,
    "nautilus": _warm_nautilus,
    "pytest": _warm_pytest,
}
