import pytest

from strategy_engine import config, serve
from strategy_engine.control import admission
from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.registry.model import Content
from strategy_engine.sandbox.model import ConfinementMode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2g", 2 << 30),
        ("2GiB", 2 << 30),
        ("2Gi", 2 << 30),
        ("2GB", 2 << 30),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("1048576", 1 << 20),
    ],
)
def test_memory_is_read_as_operators_write_it(text, expected):
    assert config.memory_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "g", "two", "-1g", "0"])
def test_a_memory_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"memory size|more than nothing"):
        config.memory_bytes(text)


def test_settings_have_the_names_of_the_contract(monkeypatch):
    given = {
        "STRATEGY_TIMEOUT": "120",
        "MAX_CONCURRENT_DEPLOYMENTS": "10",
        "PIPELINE_STAGES": "backtest, syntax_check",
        "AUTO_ROLLBACK_ENABLED": "false",
        "DEPLOYMENT_APPROVAL_REQUIRED": "true",
        "STRATEGY_MAX_MEMORY": "2g",
        "STRATEGY_MAX_CPU": "1.0",
        "STRATEGY_WORKERS": "4",
        "M4_MAX_OPTIMIZED": "1",
        "STRATEGY_SANDBOX": "prefer",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = config.load()
    assert settings.pipeline_timeout_s == 120
    assert settings.max_concurrent_deployments == 10
    assert settings.stages == ("syntax_check", "backtest")
    assert settings.auto_rollback is False
    assert settings.approval_required is True
    assert settings.max_memory_bytes == 2 << 30
    assert settings.max_cpu == 1.0
    assert settings.workers == 4
    assert settings.m4_max_optimized is True
    assert settings.sandbox is ConfinementMode.PREFER


def test_an_unknown_stage_is_refused_with_those_that_exist(monkeypatch):
    monkeypatch.setenv("PIPELINE_STAGES", "syntax_check,magic")
    with pytest.raises(InvalidError, match=r"PIPELINE_STAGES.*magic.*performance_validation"):
        config.load()


def test_a_bad_key_is_refused_without_repeating_it(monkeypatch):
    monkeypatch.setenv("STRATEGY_API_KEY", "s3cret")
    with pytest.raises(InvalidError) as caught:
        config.load()
    assert "s3cret" not in str(caught.value)
    assert caught.value.facts["field"] == "STRATEGY_API_KEY"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_address_needs_no_key(host):
    serve.refuse_open_door(config.load(host=host))
    assert serve.is_loopback(host)


def test_an_open_address_without_a_key_is_refused_with_what_to_do():
    with pytest.raises(InvalidError, match="STRATEGY_API_KEY"):
        serve.refuse_open_door(config.load(host="0.0.0.0"))  # noqa: S104  the address under test


def test_an_open_address_with_a_key_is_served():
    settings = config.load(host="0.0.0.0", api_key="k" * 16)  # noqa: S104  the address under test
    serve.refuse_open_door(settings)
    assert not serve.is_loopback(settings.host)


def test_the_engine_is_full_when_one_more_child_would_not_fit():
    admission.refuse_when_full(None, 1 << 60)
    admission.refuse_when_full(1 << 60, 1 << 20)
    with pytest.raises(UnavailableError, match=r"STRATEGY_MAX_MEMORY is 1 MiB; stop an execution"):
        admission.refuse_when_full(1 << 20, 1 << 20)


def test_fast_processors_are_preferred_only_where_they_are_told_apart(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr("os.sched_setaffinity", lambda _pid, cpus: kept.append(cpus))
    assert "no effect" in serve.prefer_fast_cpus(tmp_path)
    for cpu, capacity in ((0, 512), (1, 1024)):
        (tmp_path / f"cpu{cpu}").mkdir()
        (tmp_path / f"cpu{cpu}" / "cpu_capacity").write_text(f"{capacity}\n")
    assert serve.prefer_fast_cpus(tmp_path) == "M4_MAX: kept on the 1 fastest of 2 processors"
    assert kept == [{1}]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"parameters": {"position_size": "lots"}}, "position_size"),
        ({"parameters": {"stop_loss": [1]}}, "stop_loss"),
        ({"parameters": {"symbols": 7}}, "symbols"),
        ({"parameters": {"allow_short": "yes"}}, "allow_short"),
        ({"risk_limits": {"max_position_size": "much"}}, "max_position_size"),
    ],
)
def test_parameters_that_the_engine_could_not_trade_by_are_refused_by_their_name(content, field):
    with pytest.raises(InvalidError) as caught:
        admission.check_trading(Content(strategy_name="x", version="1.0.0", code="x", **content))
    assert caught.value.facts["field"] == field
    assert caught.value.facts["accepted"]


def test_parameters_of_the_strategys_own_are_its_own_affair():
    own = {"rsi_period": "soon", "threshold": None}
    content = Content(strategy_name="x", version="1.0.0", code="x", parameters=own)
    admission.check_trading(content)
    assert content.parameters == own


@pytest.mark.parametrize("name", ["STRATEGY_REPLAY_SPEED", "STRATEGY_TIMEOUT", "STRATEGY_MAX_CPU"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_setting_is_a_finite_number(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidError, match=name):
        config.load()


def test_the_modules_that_strategies_may_import_are_a_setting(monkeypatch):
    monkeypatch.setenv("STRATEGY_ALLOWED_IMPORTS", "math, numpy")
    assert config.load().allowed_imports == ("math", "numpy")
    monkeypatch.setenv("STRATEGY_ALLOWED_IMPORTS", "math;numpy")
    with pytest.raises(InvalidError, match=r"STRATEGY_ALLOWED_IMPORTS.*is no list of modules"):
        config.load()


def test_a_strategy_may_import_nautilus_trader_unless_a_setting_says_otherwise():
    assert "nautilus_trader" in config.load().allowed_imports


def test_a_database_is_named_by_its_url_and_never_shown(monkeypatch):
    url = "postgresql://ada:s3cret@db/engine"
    monkeypatch.setenv("DATABASE_URL", url)
    settings = config.load()
    assert settings.server == url
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "s3cret" not in shown


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_a_url_the_databases_are_files(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("DATABASE_URL", raising=False)
    else:
        monkeypatch.setenv("DATABASE_URL", value)
    assert config.load().server is None


def test_a_url_that_is_none_is_refused_without_repeating_it(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://ada:s3cret@db/engine")
    with pytest.raises(InvalidError, match=r"DATABASE_URL.*postgresql://") as caught:
        config.load()
    assert "s3cret" not in str(caught.value)
    assert caught.value.facts["field"] == "DATABASE_URL"
