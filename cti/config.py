"""Settings, read once from the environment (`SANTRAL_…`), frozen, with secrets hidden in repr.

This is the only file that reads the environment. docs/settings.md lists every setting; a test holds the two together.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cti import numbers

DOOR = r"^(https?://\S+)?$"


class Settings(BaseSettings):
    """What an operator can set. Defaults serve one machine, everything on loopback."""

    model_config = SettingsConfigDict(env_prefix="SANTRAL_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("var"), description="Folder for the database, Asterisk, prompts and recordings.")
    database_url: str = Field(
        "", description="SQLAlchemy address; empty: SQLite in the data folder. PostgreSQL: postgresql+psycopg://…"
    )
    bus_url: str = Field(
        "memory://",
        description="How nodes tell each other of news: memory:// (one node) or redis://host:port (Valkey or Redis).",
    )
    node: str = Field(
        "1", pattern=r"^[A-Za-z0-9_]{1,32}$", description="This node's name; its ARI application is santral-<node>."
    )

    http_host: str = Field("127.0.0.1", description="Address the web server binds to.")
    http_port: int = Field(8080, ge=1, le=65535, description="Port of pages, API and the browsers' socket.")
    allowed_origins: str = Field(
        "", description="Further web origins (comma separated) that may use forms and the socket."
    )
    default_region: str = Field(
        "TR", pattern=r"^[A-Z]{2}$", description="Region whose national numbers need no country code."
    )
    language: str = Field(
        "tr", pattern="^(tr|en)$", description="Language of calls and pages until somebody chooses another: tr or en."
    )
    time_zone: str = Field("Europe/Istanbul", description="IANA zone in which times are spoken and shown.")
    did_areas: str = Field(
        "",
        description="Area codes of our own numbers (02125550100=212,08505550100=312): in which area a local number is read.",
    )
    public_name: str = Field(
        "Santral", min_length=1, max_length=40, description="How messages to customers call the company."
    )
    link_unseen_days: int = Field(
        730, ge=0, description="A number that did not call for this long no longer leads to anybody; 0: for ever."
    )

    sms_url: str = Field("", pattern=DOOR, description="HTTP gateway for SMS; empty: messages wait.")
    sms_token: SecretStr = Field(SecretStr(""), description="Bearer token of the SMS gateway.")
    crm_url: str = Field("", pattern=DOOR, description="Outside CRM that is asked who has a number; empty: none.")
    crm_token: SecretStr = Field(SecretStr(""), description="Bearer token of the outside CRM.")
    crm_timeout_ms: int = Field(300, ge=10, le=5000, description="How long a call waits for the outside CRM.")

    sip_host: str = Field("127.0.0.1", description="Address at which Asterisk takes SIP and media.")
    sip_port: int = Field(5060, ge=1, le=65535, description="UDP port of SIP: trunk and phones.")
    rtp_start: int = Field(10000, ge=1024, le=65535, description="First UDP port for media.")
    rtp_end: int = Field(10999, ge=1024, le=65535, description="Last UDP port for media.")
    ari_port: int = Field(8088, ge=1, le=65535, description="Asterisk's HTTP port on loopback: ARI and browser phones.")
    ami_port: int = Field(5038, ge=1, le=65535, description="Asterisk's manager port on loopback.")
    agi_host: str = Field("127.0.0.1", description="Address at which our FastAGI server listens.")
    agi_port: int = Field(4573, ge=1, le=65535, description="Port of our FastAGI server (agi://…/identify).")
    trunk_match: str = Field(
        "127.0.0.2", description="The carrier's source address; only calls from there are inbound calls."
    )
    asterisk_host: str = Field("127.0.0.1", description="Where ARI and AMI are, seen from here.")
    ari_password: SecretStr = Field(
        SecretStr(""),
        description="ARI password of an external Asterisk; empty: that of the Asterisk in our data folder.",
    )
    ami_password: SecretStr = Field(
        SecretStr(""),
        description="AMI password of an external Asterisk; empty: that of the Asterisk in our data folder.",
    )
    asterisk_bind: str = Field(
        "127.0.0.1", description="Address at which our Asterisk takes ARI, AMI and browser phones (ari_port, ami_port)."
    )
    asterisk_permit: str = Field(
        "127.0.0.0/255.0.0.0",
        description="Networks (comma separated) from which nodes may log in to our Asterisk's AMI.",
    )
    external_address: str = Field(
        "", description="Behind NAT: the address that carrier and phones must see instead of sip_host."
    )
    claim_timeout_ms: int = Field(
        400, ge=100, le=5000, description="How long the dialplan waits for a node to claim a call."
    )
    dead_man_s: float = Field(
        2.8, ge=0, le=60, description="A call in the IVR whose node is silent goes to the queue after this; 0: never."
    )
    switch: str = Field(
        "",
        pattern="^[A-Za-z0-9]{0,16}$",
        description="Name of this node's Asterisk among several; its channels' ids begin with it. Empty: there is one.",
    )
    drain_s: float = Field(
        10.0, ge=0, le=300, description="At SIGTERM without another node: how long calls in the IVR may still take."
    )
    calls_max: int = Field(
        200, ge=1, description="Calls in the IVR on this node; more are not claimed and take the fallback."
    )

    recordings_dir: Path | None = Field(None, description="Folder of recordings; empty: in the data folder.")
    recordings_keep_days: int = Field(180, ge=0, description="Recordings older than this are erased; 0: kept for ever.")
    wrap_up_max_s: int = Field(120, ge=5, description="After this an agent in wrap-up is made ready again.")
    session_idle_s: int = Field(
        1800, ge=60, description="A signed-in browser that does nothing for this long is signed out."
    )
    session_max_s: int = Field(43200, ge=300, description="A sign-in ends after this, whatever happens.")
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json.")

    demo: bool = Field(True, description="make run: load the demo company into an empty database and start its phones.")
    demo_password: SecretStr = Field(
        SecretStr(""), description="One password for all demo users; empty: a random one is printed."
    )
    demo_calls: int = Field(0, ge=0, description="Demo calls an hour that are placed by themselves.")
    demo_carrier_host: str = Field("127.0.0.2", description="Address from which demo calls come (the carrier).")
    demo_carrier_port: int = Field(5070, ge=1, le=65535, description="UDP port of the demo carrier.")
    demo_phones_host: str = Field("127.0.0.3", description="Address of the agents' demo phones.")
    demo_phones_port: int = Field(5080, ge=1, le=65535, description="UDP port of the agents' demo phones.")
    demo_media_port: int = Field(
        16000, ge=1, le=65535, description="First UDP media port of the demo carrier and phones."
    )
    demo_answer_s: float = Field(3.0, description="The demo phones ring this long before they answer; negative: never.")
    demo_talk_s: float = Field(60.0, description="The demo phones talk this long before they hang up.")
    tools_dir: Path | None = Field(
        None, description="Where fetched programs are unpacked; empty: tools in the data folder."
    )

    @field_validator("did_areas")
    @classmethod
    def _names_numbers_and_areas(cls, value: str, info: ValidationInfo) -> str:
        numbers.areas(value, info.data.get("default_region", ""))
        return value

    @cached_property
    def areas(self) -> numbers.Areas:
        """Our own numbers (E.164) -> the area code in which a local number is read that called them."""
        return numbers.areas(self.did_areas, self.default_region)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'santral.db'}"

    @property
    def recordings(self) -> Path:
        return (self.recordings_dir or self.data_dir / "recordings").resolve()

    @property
    def prompts(self) -> Path:
        return (self.data_dir / "prompts").resolve()

    @property
    def tools(self) -> Path:
        return (self.tools_dir or self.data_dir / "tools").resolve()

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(each.strip().rstrip("/") for each in self.allowed_origins.split(",") if each.strip())

    @property
    def clustered(self) -> bool:
        """Other nodes share our database."""
        return self.bus_url != "memory://"

    @property
    def journal(self) -> Path:
        return (self.data_dir / f"journal-{self.node}.jsonl").resolve()

    @property
    def application(self) -> str:
        """The name under which this node is known to the switch."""
        return f"santral-{self.node}"
