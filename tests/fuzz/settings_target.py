"""A settings document and an environment over it: settings that can be used, or all that is wrong, without secrets."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import strategies as st

from fuzz.target import Target, assert_fit_to_say
from worker.flow.locations import parse_url
from worker.settings import Settings, SettingsInvalid, load

SEPARATOR: Final = b"\n--- environment ---\n"
SECRET: Final = "c2VjcmV0LXRvLWhpZGU"


def _settings(data: bytes) -> None:
    """A TOML document; behind the separator NAME=VALUE lines."""
    document, _, variables = data.partition(SEPARATOR)
    environ = dict(line.split("=", 1) for line in variables.decode(errors="replace").split("\n") if "=" in line)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "flowbridge.toml"
        file.write_bytes(document)
        read: Settings | SettingsInvalid
        try:
            read = load(file, environ)
        except SettingsInvalid as invalid:
            read = invalid
    if isinstance(read, SettingsInvalid):
        _assert_helpful(read)
    else:
        read.route_rules()
        for spec in read.flow_specs().values():
            assert parse_url(spec.url).host


def _assert_helpful(invalid: SettingsInvalid) -> None:
    assert invalid.problems
    for problem in invalid.problems:
        assert problem.key
        assert_fit_to_say(str(problem))


_KEYS: Final = (
    "namespace",
    "connection_string",
    "request_queue",
    "request_topic",
    "reply_queues",
    "lock_s",
    "kind",
    "concurrency",
    "drain_s",
    "redelivery_s",
    "replicas_dns",
    "host",
    "port",
    "name",
    "url",
    "url_file",
    "auth",
    "timeout_s",
    "polling_hosts",
    "retry",
    "breaker",
    "flow",
    "match",
    "nonsense",
)
_VALUES: Final = (
    '"contoso.servicebus.windows.net"',
    f'"Endpoint=sb://127.0.0.1/;SharedAccessKeyName=n;SharedAccessKey={SECRET};UseDevelopmentEmulator=true"',
    f'"https://contoso.example/?sig={SECRET}"',
    f'["https://contoso.example/?sig={SECRET}", "h"]',
    '"http://127.0.0.1:9/"',
    '"sas"',
    '"none"',
    '"a\\u0000b"',
    '""',
    "true",
    "nan",
    "-1",
    "5",
    "1e400",
    "0x" + "f" * 40,
    '["a", "b"]',
    "[]",
    "[1, 2.5]",
    "{}",
    "{ first_s = 30, max_s = 20 }",
    "{ stage = 40, property = { a = 1 } }",
    "2026-01-31T08:15:00Z",
)
_TABLES: Final = ("[servicebus]", "[identity]", "[worker]", "[http]", "[[flows]]", "[[routes]]", "[flows.retry]", "[x]")
_NAMES: Final = (
    "FLOWBRIDGE_SERVICEBUS__NAMESPACE",
    "FLOWBRIDGE_SERVICEBUS__CONNECTION_STRING",
    "FLOWBRIDGE_WORKER__REDELIVERY_S",
    "FLOWBRIDGE_FLOWS__0__URL",
    "FLOWBRIDGE_FLOWS__1__NAME",
    "FLOWBRIDGE_FLOWS",
    "FLOWBRIDGE_ROUTES__0__MATCH__PROPERTY__A",
    "FLOWBRIDGE_HTTP_PORT",
    "FLOWBRIDGE_HTTP__PORT",
)
_TEXTS: Final = ("1", "a,b", "[1", '{"a":', "true", "", f"https://h/?sig={SECRET}", "h.example", "\u0663")
_lines: Final = st.sampled_from(_TABLES) | st.builds("{} = {}".format, st.sampled_from(_KEYS), st.sampled_from(_VALUES))

SETTINGS_TARGET: Final = Target(
    name="settings",
    check=_settings,
    made=st.builds(
        lambda lines, variables: "\n".join(lines).encode() + SEPARATOR + "\n".join(variables).encode(),
        st.lists(_lines, max_size=12),
        st.lists(st.builds("{}={}".format, st.sampled_from(_NAMES), st.sampled_from(_TEXTS)), max_size=3),
    ),
    covers=("settings",),
    tokens=(
        *(f"\n{line}\n".encode() for line in _TABLES),
        *(f"\n{key} = ".encode() for key in _KEYS),
        *(value.encode() for value in _VALUES),
        *(f"\n{name}=".encode() for name in _NAMES),
        SEPARATOR,
        b"\xff",
        b"[" * 400,
    ),
)
