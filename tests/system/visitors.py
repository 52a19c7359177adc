"""Who stands before a proxy: a client that asks once, there or past it, and a browser that signs in."""

import http.client
import http.cookiejar
import secrets
import socket
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from tests.system.harness import PASSWORD, Server, request
from tests.system.proxies import Proxy

STRANGER = ("127.0.0.2", 0)  # a client that comes past the proxy
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Front:
    """A proxy with its server behind it, as a visitor finds it."""

    proxy: Proxy
    server: Server
    items: dict[str, dict[str, str]]
    sendfile: bool

    @property
    def address(self) -> str:
        return f"https://localhost:{self.proxy.site.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        site = self.proxy.site
        context = site.certificate.context()
        return answer(http.client.HTTPSConnection("localhost", site.port, context=context, timeout=20), method, path,
                      headers)  # fmt: skip

    def ask_past_it(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, source_address=STRANGER, timeout=20)
        return answer(connection, method, path, headers)

    def connect(self) -> socket.socket:
        context = self.proxy.site.certificate.context()
        plain = socket.create_connection(("127.0.0.1", self.proxy.site.port), timeout=20)
        return context.wrap_socket(plain, server_hostname="localhost")

    def open(self, path: str) -> socket.socket:
        """A connection that has asked for `path`."""
        connection = self.connect()
        connection.sendall(request(path))
        return connection


def answer(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers=named)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    names = [name.lower() for name, _ in response.getheaders() if name.lower() not in ("via", "server", "set-cookie")]
    assert len(names) == len(set(names)), f"a header is there twice: {names}"
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


class Browser:
    """Keeps cookies, follows no redirects, says where its forms come from."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.cookies = http.cookiejar.CookieJar()
        context = front.proxy.site.certificate.context()
        handlers = (urllib.request.HTTPSHandler(context=context), urllib.request.HTTPCookieProcessor(self.cookies))
        self.opener = urllib.request.build_opener(*handlers, NoRedirect())
        self.opener.addheaders = [("Origin", front.address)]

    def open(self, path: str, data: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.front.address + path, data, named)
        try:
            with self.opener.open(asked, timeout=60) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, {k.lower(): v for k, v in refusal.headers.items()}, refusal.read()

    def cookie(self, name: str) -> http.cookiejar.Cookie:
        return next(cookie for cookie in self.cookies if cookie.name == name)

    def sign_in(self, name: str) -> "Browser":
        self.open("/accounts/login/")
        token = self.cookie("csrftoken").value or ""
        form = {"csrfmiddlewaretoken": token, "username": name, "password": PASSWORD, "next": "/"}
        status, _, body = self.open("/accounts/login/", urllib.parse.urlencode(form).encode())
        assert status == 302, body
        return self

    def upload(self, title: str, content: bytes) -> Answer:
        boundary = secrets.token_hex(16)
        token = self.cookie("csrftoken").value or ""
        fields = {"csrfmiddlewaretoken": token, "title": title, "visibility": "public", "owner": ""}
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"'
        body = "".join(f"{part.format(name)}\r\n\r\n{value}\r\n" for name, value in fields.items()).encode()
        body += f'{part.format("file")}; filename="film.mp4"\r\nContent-Type: video/mp4\r\n\r\n'.encode()
        body += content + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return self.open("/admin/media_library/media/add/", body, Content_Type=kind)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None
