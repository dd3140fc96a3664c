"""What the text of a native strategy says, before any of it runs."""

from importlib import resources

import pytest

from strategy_engine.pipeline import syntax
from strategy_engine.pipeline.model import Level

HEAD = """from nautilus_trader.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy


class MineConfig(StrategyConfig, frozen=True):
    fast: int
    slow: int = 20
"""
FINE = f"""{HEAD}

class Mine(Strategy):
    def __init__(self, config: MineConfig):
        super().__init__(config)
"""
SHIPPED = {
    path.name: path.read_text()
    for path in resources.files("nautilus_trader.examples.strategies").iterdir()
    if path.name.endswith(".py") and path.name != "__init__.py"
}
RUST = "market_buy_on_start.py"


def errors(code):
    return [each.message for each in syntax.check(code) if each.level is Level.ERROR]


def test_there_are_eighteen_shipped_strategies():
    assert len(SHIPPED) == 18


@pytest.mark.parametrize("name", sorted(SHIPPED.keys() - {RUST}))
def test_a_shipped_strategy_says_nothing_wrong(name):
    assert syntax.check(SHIPPED[name]) == []


def test_a_strategy_in_rust_s_vocabulary_is_told_what_to_derive_from():
    (found,) = errors(SHIPPED[RUST])
    assert found.startswith("line 72: MarketBuyOnStart: strategies on nautilus_trader.core.naut")
    assert "derive from nautilus_trader.trading.Strategy" in found


@pytest.mark.parametrize(
    "code",
    [
        FINE,
        FINE.replace("trading.strategy import", "trading import"),
        f"import nautilus_trader.trading as t\n{FINE}".replace("(Strategy)", "(t.Strategy)"),
        FINE + "\nclass Better(Mine):\n    pass\n",
        "import nautilus_trader.examples.strategies.subscribe as s\nclass My(s.Subscribe): 0\n",
        "from nautilus_trader.trading import *\nclass My(Strategy):\n    pass\n",
        FINE.replace("class Mine(Strategy)", "class Mine(Strategy, metaclass=type)"),
    ],
)
def test_one_strategy_is_fine_however_it_names_its_base(code):
    assert errors(code) == []


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (HEAD, "no class derives from nautilus_trader.trading.Strategy; classes defined"),
        ("import nautilus_trader\n", "classes defined here: none"),
        (FINE + "\nclass Other(Strategy):\n    pass\n", "2 classes are strategies (Mine, Other)"),
        (FINE + "\nimport os\n", "line 14: imports os, which a strategy may not"),
        (
            FINE + "\nfrom datetime import datetime as d\nx = d.now()\n",
            "line 15: datetime.datetime.now reads the wall clock; use self.clock, which follows",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(code, word):
    assert any(word in each for each in errors(code)), errors(code)


@pytest.mark.parametrize(
    ("code", "taken"),
    [
        (FINE, ["fast", "slow"]),
        (FINE.replace("config: MineConfig", "config"), ["fast", "slow"]),
        (FINE.replace("config: MineConfig", "config: 'MineConfig'"), ["fast", "slow"]),
        (FINE.replace("MineConfig", "Settings"), ["fast", "slow"]),
        (FINE.replace("MineConfig", "OtherConfig").replace(": OtherConfig", ""), ["fast", "slow"]),
        ("import nautilus_trader\nclass Mine:\n    def __init__(self, a, *, b=1): 0\n", ["a", "b"]),
    ],
)
def test_what_the_config_takes_is_named(code, taken):
    assert syntax.class_arguments(code, "Mine") == taken


def test_a_strategy_may_decide_in_a_method_called_generate_signal():
    own = FINE + "\n    def generate_signal(self, bar):\n        return 1\n"
    lent = f"{HEAD}\nclass Model:\n    def generate_signal(self, bar): ...\n{FINE}        Model()\n"

    assert errors(own) == errors(lent) == []


def test_a_signal_class_beside_a_strategy_is_named():
    code = FINE + "\nclass Other:\n    def generate_signal(self, market_data): ...\n"

    (found,) = errors(code)

    assert "Other has generate_signal, and another class is a NautilusTrader strategy" in found
    assert "keep exactly one" in found
