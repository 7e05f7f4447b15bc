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


def test_error_names_the_variable() -> None:
    """What came from the environment is called by its name there."""
    with pytest.raises(ConfigInvalid, match=r"^CONNTRACK_OPERATOR_LOG_LEVEL: "):
        read({}, {"CONNTRACK_OPERATOR_LOG_LEVEL": "loud"})
