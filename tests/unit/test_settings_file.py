"""What somebody who writes a settings file, or sets the environment of a container, is told."""

import pwd
from pathlib import Path

import pytest
from nearcode import settings
from nearcode.domain.errors import InvalidRequest, Reason
from nearcode.runtime import settings_file
from nearcode.runtime.settings import Branch


class Sails(Branch):
    """A branch."""

    area: int = 10
    """Square meters."""


class Boat(Branch):
    """Settings of another program than nearcode."""

    name: str = "Anna"
    sails: Sails = Sails()


def test_a_program_of_its_own_has_a_file_and_a_prefix_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "boat.toml"
    file.write_text('name = "Bertha"\n[sails]\narea = 20\n')
    monkeypatch.setenv("BOAT_CONFIG", str(file))
    monkeypatch.setenv("BOAT_SAILS__AREA", "30")
    monkeypatch.setenv("NEARCODE_ORG", "acme")
    loaded = settings_file.load(Boat, "BOAT_")
    assert loaded == Boat(name="Bertha", sails=Sails(area=30))
    assert settings_file.dump(loaded) == 'name = "Bertha"\n\n[sails]\narea = 30\n'
    assert settings_file.dump(loaded, Boat(name="Bertha")) == "\n[sails]\narea = 30\n"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "BOAT_SAILS__AERA",
            "1",
            "unknown setting sails.aera in environment variable {}; did you mean sails.area?",
        ),
        (
            "BOAT_SAILS__AREA",
            "big",
            "setting sails.area in environment variable {}: Input should be a valid integer",
        ),
        ("BOAT_CONFIG", "/no/such/file", "settings file /no/such/file cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_named_with_its_place(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequest) as told:
        settings_file.load(Boat, "BOAT_")
    assert told.value.message.startswith(said.format(name))
    assert told.value.reason == Reason.INVALID_SETTING


def test_what_kubernetes_and_the_operator_add_to_the_environment_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NEARCODE_GATEWAY_SERVICE_HOST": "10.0.0.7",
        "NEARCODE_GATEWAY_SERVICE_PORT_GRPC": "8443",
        "NEARCODE_GATEWAY_PORT": "tcp://10.0.0.7:8443",
        "NEARCODE_GATEWAY_PORT_8443_TCP_ADDR": "10.0.0.7",
        "NEARCODE_OPERATOR_JOBS__BUDGET": "7",
        "NEARCODE_INDEX__GRPC_PORT": "6335",
    }.items():
        monkeypatch.setenv(name, value)
    assert settings.load().index.grpc_port == 6335
    monkeypatch.setenv("NEARCODE_GATEWAY_LISTEN", "x")
    with pytest.raises(InvalidRequest, match="unknown setting gateway_listen"):
        settings.load()


def test_a_user_without_a_home_is_told_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NEARCODE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidRequest, match="set NEARCODE_HOME"):
        settings.load()
    monkeypatch.setenv("NEARCODE_HOME", str(tmp_path))
    loaded = settings.load()
    assert (loaded.home, loaded.log_dir) == (tmp_path, tmp_path / "logs")
    assert settings.dump(loaded, diff=True)


def test_settings_by_url_are_printed_as_they_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "nearcode.toml"
    file.write_text('[ingestion.git_ca_files]\n"https://git.example.com:8443" = "/etc/company.pem"\n')
    loaded = settings.load(file)
    file.write_text(settings.dump(loaded, diff=True))
    assert settings.load(file).ingestion.git_ca_files == {"https://git.example.com:8443": Path("/etc/company.pem")}
