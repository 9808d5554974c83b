"""Why a token can't be had, over the wire, and the command that mends it."""

import json
import socket
from pathlib import Path

import pytest
from flow.certificates import ThrowAwayAuthority
from flow.connect_proxy import connect_proxy
from support.house import House, load_document

from worker.cli.preflight.tokens import mend
from worker.emulator.standins import IdentityStandIn, Refuse
from worker.flow import identity as identity_module

from .conftest import RunCommand

NAME = "token for https://service.flow.microsoft.com//.default"
OLDER = (
    "AADSTS70021: No matching federated identity record found for presented assertion. Assertion Issuer: "
    "'https://oidc.example/'. Assertion Subject: 'system:serviceaccount:flows:bridge'."
)


@pytest.fixture(autouse=True)
def flow(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_FLOWS__0__URL", house.flow.url_of("flow"))


async def mended(command: RunCommand) -> str:
    ran = await command("check", "--json")
    assert ran.status == 1
    [finding] = [each for each in json.loads(ran.out)["findings"] if each["name"] == NAME]
    assert finding["verdict"] == "failed"
    assert isinstance(finding["mend"], str)
    return finding["mend"]


def mended_words(words: str, environ: dict[str, str], **identity: str) -> str | None:
    document = {
        "servicebus": {"namespace": "contoso.servicebus.windows.net"},
        "identity": identity,
        "flows": [{"url": "https://flows.example.com/"}],
    }
    return mend(load_document(document).identity, words, environ)


async def test_a_host_without_a_metadata_service_is_not_on_azure(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and listening to nobody
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert "az login\nexport FLOWBRIDGE_IDENTITY__KIND=default" in await mended(command)


async def test_an_identity_that_the_host_does_not_have_is_to_be_assigned(house: House, command: RunCommand) -> None:
    house.identity.script(Refuse(status=400, error="invalid_request", description="Identity not found"))
    assert await mended(command) == "az vm identity assign --name '<vm>' --resource-group '<resource-group>'"


async def test_a_pod_without_the_variables_of_its_workload_identity_wants_annotation_and_label(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_IDENTITY__KIND", "workload")
    monkeypatch.setenv("FLOWBRIDGE_IDENTITY__CLIENT_ID", "1-2-3")
    annotate, patch, _ = (await mended(command)).splitlines()
    assert annotate.endswith("azure.workload.identity/client-id=1-2-3")
    assert '"azure.workload.identity/use":"true"' in patch


async def test_a_service_account_that_no_federated_credential_names_gets_one(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (token_file := tmp_path / "federated-token").write_text("of-the-cluster")
    authority = ThrowAwayAuthority(tmp_path)
    tls = authority.server_context("login.microsoftonline.com")
    shown = (
        "AADSTS700213: No matching federated identity record found for presented assertion subject "
        "'system:serviceaccount:flows:bridge'. Check your federated identity credential."
    )
    async with IdentityStandIn(ssl_context=tls) as entra, connect_proxy(entra.port) as proxy:
        entra.script(Refuse(status=401, error="invalid_client", description=shown))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (("TENANT_ID", "t"), ("CLIENT_ID", "c"), ("FEDERATED_TOKEN_FILE", str(token_file))):
            monkeypatch.setenv(f"AZURE_{name}", value)
        monkeypatch.setitem(identity_module.PIPELINE, "connection_verify", str(authority.pem))
        monkeypatch.setenv("FLOWBRIDGE_IDENTITY__KIND", "workload")
        show, create = (await mended(command)).splitlines()
    assert "oidcIssuerProfile.issuerUrl" in show
    assert "--subject system:serviceaccount:flows:bridge " in create
    assert "--issuer '<issuer>'" in create


def test_an_issuer_that_entra_names_is_taken_over() -> None:
    told = mended_words(OLDER, {}, kind="workload")
    assert told is not None
    assert "--issuer https://oidc.example/ --subject system:serviceaccount:flows:bridge " in told


@pytest.mark.parametrize(
    ("words", "environ", "kind", "told"),
    [
        ("whatever", {}, "default", "az login"),
        (
            *("Identity not found", {"IDENTITY_ENDPOINT": "http://x"}, "managed"),
            "az containerapp identity assign --name '<app>' --system-assigned --resource-group",
        ),
        ("no response from the IMDS endpoint", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "managed", "kubectl annotate"),
    ],
)
def test_the_command_follows_where_the_worker_runs(words: str, environ: dict[str, str], kind: str, told: str) -> None:
    assert (mended_words(words, environ, kind=kind) or "").startswith(told)


@pytest.mark.parametrize(
    ("environ", "told"), [({}, "--identities"), ({"IDENTITY_ENDPOINT": "http://x"}, "--user-assigned")]
)
def test_only_an_identity_with_a_client_id_is_assigned_by_its_name(environ: dict[str, str], told: str) -> None:
    assert f" {told} '<identity>' " in (mended_words("Identity not found", environ, client_id="1-2-3") or "")


def test_no_command_is_made_up_where_none_is_known() -> None:
    mounted = {"AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "f"}
    assert mended_words("the token endpoint did not answer within 15 s", mounted, kind="workload") is None
    wrong_client = mended_words("AADSTS700016: Application not found", mounted, kind="workload")
    assert wrong_client is not None
    assert wrong_client.startswith("kubectl annotate")
