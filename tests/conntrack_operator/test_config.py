import pytest

from conntrack_operator.config import Config, LogFormat, LogLevel, read
from conntrack_operator.errors import ConfigInvalid


def test_defaults() -> None:
    """With nothing said, the operator is at home in a pod."""
    assert Config() == read({}, {"CONNTRACK_OPERATOR_CONTEXT": ""})
    assert LogFormat.JSON == Config().log_format


def test_options_overrule_the_environment() -> None:
    """What is typed counts more than what is set."""
    environ = {
        "CONNTRACK_OPERATOR_AGENTS": "agents/agent",
        "CONNTRACK_OPERATOR_KUBECONFIG": "/a",
        "CONNTRACK_OPERATOR_CONTEXT": "c",
        "CONNTRACK_OPERATOR_LOG_LEVEL": "DEBUG",
        "CONNTRACK_OPERATOR_LIVENESS_PORT": "0",
    }

    found = read({"kubeconfig": "/b", "log_format": "text"}, environ)

    assert (
        Config(
            agents=("agents", "agent"),
            kubeconfig="/b",
            context="c",
            log_format=LogFormat.TEXT,
            log_level=LogLevel.DEBUG,
            liveness_port=0,
        )
        == found
    )


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("log_format", "xml", "one of json, text"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("liveness_port", "65536", "a whole number from 0 to 65535"),
        ("liveness_port", "-1", "a whole number from 0 to 65535"),
        ("namespace", "a/b", "a DNS label such as kube-system"),
        ("agents", "agents", "NAMESPACE/NAME, two DNS labels"),
        ("agents", "a/../b", "NAMESPACE/NAME, two DNS labels"),
    ],
)
def test_errors_name_key_value_and_what_is_allowed(
    option: str, value: str, allowed: str
) -> None:
    """A person reads what was wrong and what would be right."""
    with pytest.raises(ConfigInvalid) as caught:
        read({option: value}, {})

    key = f"--{option.replace('_', '-')}"
    assert f"{key}: invalid value '{value}', must be {allowed}" == str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "CONNTRACK_OPERATOR_LOG_LEVL",
        "CONNTRACK_OPERATOR_METRIC_PORT_",
        "CONNTRACK_OPERATOR_",
    ],
)
def test_variable_that_is_spelt_wrong(key: str) -> None:
    """It would change nothing, without a word; the right ones are named."""
    with pytest.raises(ConfigInvalid, match=f"^{key}: unknown variable, must be") as it:
        read({}, {key: "debug"})

    assert "CONNTRACK_OPERATOR_LOG_LEVEL" in str(it.value)


@pytest.mark.parametrize(
    "key",
    [
        *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTPS", "PORT"),
        *("PORT_443_TCP", "PORT_443_TCP_ADDR", "PORT_443_TCP_PROTO", "WEB_PORT"),
    ],
)
def test_variables_of_services_are_not_ours(key: str) -> None:
    """Kubernetes sets them for a Service of our name."""
    assert Config() == read({}, {f"CONNTRACK_OPERATOR_{key}": "tcp://10.0.0.1:443"})


def test_one_port_for_two() -> None:
    """Both are named as they were given."""
    environ = {"CONNTRACK_OPERATOR_METRICS_PORT": "8080"}

    with pytest.raises(ConfigInvalid) as caught:
        read({"liveness_port": "8080"}, environ)

    both = "CONNTRACK_OPERATOR_METRICS_PORT, --liveness-port: both are 8080"
    assert f"{both}, must be two ports" == str(caught.value)


def test_error_names_the_variable() -> None:
    """What came from the environment is called by its name there."""
    with pytest.raises(ConfigInvalid, match=r"^CONNTRACK_OPERATOR_LOG_LEVEL: "):
        read({}, {"CONNTRACK_OPERATOR_LOG_LEVEL": "loud"})
