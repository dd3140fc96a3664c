import pytest

from strategy_engine.registry.model import Content
from strategy_engine.registry.source import Kernel, Warm, kernel_of, warm_of

PLAIN = "class A:\n    def generate_signal(self, market_data):\n        return 'HOLD'\n"
NATIVE = "class A(Strategy):\n    pass\n"


@pytest.mark.parametrize(
    ("code", "kernel", "warm"),
    [
        (PLAIN, Kernel.SIGNAL, Warm.LEAN),
        ("import numpy as np\nimport talib\n" + PLAIN, Kernel.SIGNAL, Warm.LEAN),
        ("import pandas as pd\n" + PLAIN, Kernel.SIGNAL, Warm.SCIENTIFIC),
        ("from scipy.stats import norm\n" + PLAIN, Kernel.SIGNAL, Warm.SCIENTIFIC),
        (
            "from pandas import Series\nimport nautilus_trader\n" + PLAIN,
            Kernel.SIGNAL,
            Warm.NAUTILUS,
        ),
        ("from nautilus_trader.trading import Strategy\n" + NATIVE, Kernel.NATIVE, Warm.NAUTILUS),
        ("import nautilus_trader.model as m\n" + NATIVE, Kernel.NATIVE, Warm.NAUTILUS),
        (
            (
                "from nautilus_trader.trading.strategy import Strategy as Base\n"
                "class A(Base):\n    def generate_signal(self, bar): ...\n"
            ),
            Kernel.NATIVE,
            Warm.NAUTILUS,
        ),
        (
            "import nautilus_trader.trading as t\n" + PLAIN + "class B(A, t.Strategy): ...\n",
            Kernel.NATIVE,
            Warm.NAUTILUS,
        ),
        (
            "import nautilus_trader.trading\n"
            + PLAIN
            + "class B(nautilus_trader.trading.Strategy): ...\n",
            Kernel.NATIVE,
            Warm.NAUTILUS,
        ),
        (
            "from nautilus_trader.trading.strategy import *\n" + PLAIN + NATIVE,
            Kernel.NATIVE,
            Warm.NAUTILUS,
        ),
        (
            "from nautilus_trader.indicators import *\n"
            "class Strategy:\n    def generate_signal(self, market_data): ...\n" + NATIVE,
            Kernel.SIGNAL,
            Warm.NAUTILUS,
        ),
        (
            "from nautilus_trader.config import StrategyConfig\n"
            "class C(StrategyConfig): ...\n" + PLAIN,
            Kernel.SIGNAL,
            Warm.NAUTILUS,
        ),
        ("def late():\n    import scipy\n" + PLAIN, Kernel.SIGNAL, Warm.SCIENTIFIC),
        ("import pandastic, nautilus_traders\n" + PLAIN, Kernel.SIGNAL, Warm.LEAN),
        ("from . import pandas\n" + PLAIN, Kernel.SIGNAL, Warm.LEAN),
        ("class :", Kernel.SIGNAL, Warm.LEAN),
        ("x = '\0'", Kernel.SIGNAL, Warm.LEAN),
        ("(" * 5_000, Kernel.SIGNAL, Warm.LEAN),
    ],
)
def test_the_source_says_its_kernel_and_its_zygote(code, kernel, warm):
    assert (kernel_of(code), warm_of(code)) == (kernel, warm)


def test_a_version_knows_whether_it_is_native():
    native = "from nautilus_trader.trading import Strategy\n" + NATIVE

    made = [Content(strategy_name="A", version="1.0.0", code=code) for code in (PLAIN, native)]

    assert [(each.is_native, each.warm) for each in made] == [
        (False, Warm.LEAN),
        (True, Warm.NAUTILUS),
    ]
