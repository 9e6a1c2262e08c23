"""A real OIDC issuer on loopback: discovery, authorization, token and userinfo endpoints, its own key pair.

Keeps to the specifications (code flow, PKCE with S256, one use of a code) and can be told to go wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "llmhub", "issuer-secret-0123456789"


class Issuer:
    """Use it as a context manager. `claims` changes what the next ID token says, `key` who signs it."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.published = self.key.public_key()
        self.subject = "subject-1"
        self.username = "ada"
        self.claims: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.userinfo_subject: str | None = None
        self.codes: dict[str, dict[str, str]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Issuer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(10)

    def authorize(self, location: str) -> str:
        """What the person's browser does there, agreeing: answers the path and query it is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert query["client_id"] == CLIENT_ID and query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256" and query["nonce"] and query["state"]
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = urlsplit(query["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': query['state']})}"

    def id_token(self, query: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": self.subject, "iat": now, "exp": now + 300,
                  "nonce": query["nonce"]} | self.claims  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        key: Any = self.key if self.algorithm == "RS256" else CLIENT_SECRET
        return jwt.encode(claims, key if self.algorithm != "none" else None, self.algorithm, headers={"kid": "k1"})

    def answer(self, method: str, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token",
                    "userinfo_endpoint": "/userinfo", "jwks_uri": "/keys"}  # fmt: skip
            return 200, {"issuer": self.url, "token_endpoint_auth_methods_supported": ["client_secret_post"]} | {
                name: self.url + end for name, end in ends.items()
            }
        if path == "/keys":
            return 200, {"keys": [json.loads(RSAAlgorithm.to_jwk(self.published)) | {"kid": "k1", "alg": "RS256"}]}
        if path == "/token" and method == "POST":
            query = self.codes.pop(form.get("code", ""), None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if query is None or query["code_challenge"] != challenge or form.get("client_secret") != CLIENT_SECRET:
                return 400, {"error": "invalid_grant"}
            return 200, {"access_token": "at-1", "token_type": "Bearer", "id_token": self.id_token(query)}
        if path == "/userinfo" and authorization == "Bearer at-1":
            subject = self.userinfo_subject or self.subject
            return 200, {"sub": subject, "preferred_username": self.username, "email": "ada@example.test"}
        return 404, {"error": "not_found"}

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
                issuer.seen.append((self.path, form))
                status, body = issuer.answer(self.command, self.path, form, self.headers.get("authorization", ""))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler
