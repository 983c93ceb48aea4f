"""Images from hosts that a project names for itself."""

import socket

import pytest

from backend.base.errors import ImageUnreachable
from backend.label_studio import images
from backend.label_studio.project_images import ProjectImageFetcher

PNG = b"\x89PNG"


@pytest.fixture
def host(serve, monkeypatch):
    """A server under the name images.example, at an address that the test chooses; the fetcher takes it for public."""
    server = serve(lambda _: (200, {}, PNG))
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *rest, **more: real("127.0.0.1", *rest, **more))
    return f"images.example:{server.port}"


def fetch(host, *project_hosts, **settings):
    return ProjectImageFetcher(project_hosts, **settings).fetch(f"http://{host}/a.png")


def test_a_host_of_the_project_is_asked_if_its_address_is_public(host, monkeypatch):
    monkeypatch.setattr(images.AddressRule, "allows", lambda rule, _address: not rule.allow_private)
    assert fetch(host, "images.example") == PNG
    assert fetch(host, host) == PNG


def test_a_host_of_the_project_at_a_private_address_is_not_asked(host):
    with pytest.raises(ImageUnreachable, match="not public"):
        fetch(host, "images.example")


def test_a_private_address_stays_with_the_backends_own_hosts(host):
    assert fetch(host, "images.example", image_hosts=["images.example"]) == PNG


def test_another_host_is_not_asked(host):
    with pytest.raises(ImageUnreachable, match="not allowed"):
        fetch(host, "other.example")
