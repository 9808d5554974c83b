"""All of them, by name."""

from typing import Final

from fuzz.amqp_targets import AMQP_TARGETS
from fuzz.broker_targets import BROKER_TARGETS
from fuzz.flow_targets import FLOW_TARGETS
from fuzz.passage_target import PASSAGE_TARGET
from fuzz.request_targets import REQUEST_TARGETS
from fuzz.server_target import SERVER_TARGET
from fuzz.settings_target import SETTINGS_TARGET
from fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        *AMQP_TARGETS,
        *BROKER_TARGETS,
        SERVER_TARGET,
        *REQUEST_TARGETS,
        PASSAGE_TARGET,
        *FLOW_TARGETS,
        SETTINGS_TARGET,
    )
}
