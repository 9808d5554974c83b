"""Where a cloud signs in, and the scope its flows want."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

CloudName: TypeAlias = Literal["public", "gcc", "gcc-high", "dod", "china"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """`flow_scope` has two slashes: the audience ends with one of its own."""

    authority: str
    flow_scope: str


CLOUDS: Final[dict[CloudName, Cloud]] = {
    "public": Cloud(authority="login.microsoftonline.com", flow_scope="https://service.flow.microsoft.com//.default"),
    "gcc": Cloud(authority="login.microsoftonline.com", flow_scope="https://gov.service.flow.microsoft.us//.default"),
    "gcc-high": Cloud(
        authority="login.microsoftonline.us", flow_scope="https://high.service.flow.microsoft.us//.default"
    ),
    "dod": Cloud(authority="login.microsoftonline.us", flow_scope="https://service.flow.appsplatform.us//.default"),
    "china": Cloud(authority="login.chinacloudapi.cn", flow_scope="https://service.powerautomate.cn//.default"),
}
