"""Owns the rules of where a call may go. Decides on text and addresses; resolves no name and opens no socket.

A URL is read once, by one strict pattern; what it names is handed on as parsed, so that no second parser can read it
differently. Addresses are judged by a table of our own (`ipaddress.is_global` differs between Python releases and
passes NAT64, IPv4-compatible and other forms), after every IPv4 address that an IPv6 address embeds was taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from adapters.errors import EgressDeniedError

__all__ = ["EgressPolicy", "EgressRule", "ParsedOrigin", "origin_of", "parse_url"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}

# IANA IPv4 and IPv6 special-purpose registries (2026), plus what they leave out and routers still treat specially
# (multicast, the 6to4 relay). Of IPv6 only `_IPV6_PUBLIC` is public at all, so the table lists what lies inside it.
_SPECIAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, benchmarking, ORCHID and others
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# IANA has handed out global unicast addresses from 2000::/3 alone. NAT64's well-known prefix is public by itself:
# DNS64 networks reach every host through it, and the IPv4 address inside is judged too.
_IPV6_PUBLIC: tuple[Network, ...] = (ip_network("2000::/3"), ip_network("64:ff9b::/96"))

# Where clouds keep their metadata and credential services. Closed to everybody; no rule opens them.
_METADATA: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # AWS, GCP, Azure, ECS and EKS credentials, Tencent, Scaleway
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server; a public address by every registry
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # GCP
        "fd00:42::42/128",  # Scaleway
    )
)
_METADATA_HOSTS = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.tencentyun.com",
    }
)

_LOCAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)

# One pattern reads the whole URL. No userinfo, no fragment, no white space or control character, no backslash, no
# non-ASCII character anywhere: all of these are read differently by different parsers.
_URL = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,254}))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!$-;=@-\[\]-~]*)?"
    r"(?:\?(?P<query>[!$-;=?-\[\]-~]*))?"
)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# A last label such as `1`, `0x7f` or `0177` makes the resolver read the whole name as an IPv4 address.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?:/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedOrigin:
    """A URL's parts as they were checked and are used: no part is parsed again."""

    scheme: str  # "http" or "https"
    host: str  # lower case, no trailing dot; an IPv6 address without brackets
    port: int
    address: Address | None  # the host when it is a literal address, else None
    path: str  # as written, starts with "/"
    query: str  # as written, without "?"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_url(url: str) -> ParsedOrigin:
    """Read an http or https URL strictly; raises EgressDeniedError, whose text does not repeat the URL."""
    if len(url) > 8192:
        raise EgressDeniedError("the URL is longer than 8192 characters")
    match = _URL.fullmatch(url)
    if match is None:
        raise EgressDeniedError(_why_unreadable(url))
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise EgressDeniedError("the URL's port is not between 1 and 65535")
    path = match["path"] or "/"
    if _DOT_SEGMENT.search(path):
        raise EgressDeniedError("the URL's path holds a dot segment")
    host, address = _read_host(match["v6"], match["name"])
    return ParsedOrigin(scheme=scheme, host=host, port=port, address=address, path=path, query=match["query"] or "")


def origin_of(url: str) -> str:
    """Answer the canonical origin that keys are bound to, `https://api.openai.com:443`; raises EgressDeniedError."""
    return parse_url(url).origin


def _why_unreadable(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in DEFAULT_PORTS:
        return "the URL does not begin with http:// or https://"
    if any(not "!" <= character <= "~" for character in url):
        return "the URL holds white space, a control character or a non-ASCII one; write a host as xn--..."
    if "\\" in url:
        return "the URL holds a backslash"
    if "@" in rest.partition("/")[0]:
        return "the URL holds a user name or password before its host"
    if "#" in rest:
        return "the URL holds a fragment (#...)"
    return "the URL can't be read: expected http(s)://host[:port][/path]"


def _read_host(v6: str | None, name: str | None) -> tuple[str, Address | None]:
    if v6 is not None:
        try:
            parsed = IPv6Address(v6)
        except ValueError:
            raise EgressDeniedError("the URL's host is not an IPv6 address") from None
        return parsed.compressed, parsed
    assert name is not None
    host = name.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            literal = IPv4Address(host)
        except ValueError:
            raise EgressDeniedError("the URL's host is a number but no dotted IPv4 address") from None
        return str(literal), literal
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise EgressDeniedError("the URL's host is not a host name")
    return host, None


def embedded_ipv4(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Every IPv4 address that some translator or tunnel would take out of `address`."""
    value = int(address)
    low = IPv4Address(value & 0xFFFFFFFF)
    top96 = value >> 32
    found = []
    if (value > 1 and top96 in (0, 0xFFFF, 0xFFFF0000)) or top96 == 0x64FF9B << 64:
        found.append(low)  # compatible, mapped, translated (SIIT), NAT64 well-known prefix
    if value >> 80 == 0x64FF9B0001:  # NAT64 local-use: RFC 6052 allows /48, /56, /64 and /96 inside it
        found.append(low)
        bits_48_to_128 = value & ((1 << 80) - 1)
        found.append(IPv4Address((bits_48_to_128 >> 64) << 16 | (bits_48_to_128 >> 40) & 0xFFFF))
        found.append(IPv4Address((value >> 64 & 0xFF) << 24 | (value >> 32) & 0xFFFFFF))
        found.append(IPv4Address(value >> 24 & 0xFFFFFFFF))
    if value >> 112 == 0x2002:  # 6to4
        found.append(IPv4Address(value >> 80 & 0xFFFFFFFF))
    if value >> 96 == 0x20010000:  # Teredo: the server, and the client inverted
        found.append(IPv4Address(value >> 64 & 0xFFFFFFFF))
        found.append(IPv4Address(~value & 0xFFFFFFFF))
    if value >> 32 & 0xFDFFFFFF == 0x00005EFE:  # ISATAP, under any prefix
        found.append(low)
    return tuple(found)


def _judged(address: Address) -> tuple[Address, ...]:
    """The address as it will be reached, then every IPv4 address inside it."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    return (address, *embedded_ipv4(address))


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and not _within(address, _IPV6_PUBLIC):
        return False
    return not _within(address, _SPECIAL)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """One host name or one network, on some ports; exactly one of `host` and `network` is set."""

    host: str | None = None  # lower case, exact
    network: Network | None = None
    ports: frozenset[int] = frozenset()  # empty: any port

    def __post_init__(self) -> None:
        if (self.host is None) == (self.network is None):
            raise ValueError("an egress rule takes exactly one of host and network")

    @classmethod
    def parse(cls, text: str) -> EgressRule:
        """Read `ollama`, `ollama:11434`, `http://ollama:11434`, `10.0.0.0/8`, `10.1.2.3:8000|8001`, `[fd12::5]:8000`,
        `fd12::/64`. Raises ValueError.
        """
        if "://" in text:
            try:
                parsed = parse_url(text.strip())
            except EgressDeniedError as error:
                raise ValueError(f"{error}: {text!r}") from None
            network = None if parsed.address is None else ip_network(parsed.address)
            return cls(host=None if network else parsed.host, network=network, ports=frozenset({parsed.port}))
        if text.count(":") > 1 and "[" not in text:
            return cls(network=ip_network(text.strip()))
        match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9|]+))?", text.strip())
        if match is None:
            raise ValueError(f"not a host, an address or a network with optional ports: {text!r}")
        ports = frozenset(int(port) for port in match[3].split("|")) if match[3] else frozenset[int]()
        if any(not 1 <= port <= 65535 for port in ports):
            raise ValueError(f"a port is not between 1 and 65535: {text!r}")
        if match[1] is not None or "/" in match[2]:
            return cls(network=ip_network(match[1] or match[2]), ports=ports)
        try:
            host, address = _read_host(None, match[2])
        except EgressDeniedError as error:
            raise ValueError(f"{error}: {text!r}") from None
        return cls(network=ip_network(address), ports=ports) if address else cls(host=host, ports=ports)

    def covers(self, *, host: str, address: Address | None, port: int) -> bool:
        if self.ports and port not in self.ports:
            return False
        if self.host is not None:
            return self.host == host
        return address is not None and self.network is not None and address in self.network


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """What may be called. A value: it can be shared, compared and used as a key; a changed policy is a new value.

    A call passes when nothing closes it, and a rule opens it or the policy's own ground does. `https_only` holds for
    what no rule opens; a rule that names the host opens plain http for it, a network rule for literal addresses in it.
    """

    name: str = "public"  # for log lines and messages
    rules: tuple[EgressRule, ...] = ()
    closed: tuple[EgressRule, ...] = ()  # wins over everything: the hub's own addresses, its database
    https_only: bool = True
    open_local: bool = False  # loopback, private and unique-local networks
    any_port: bool = False  # else 80, 443 and those from 1024 up
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept because the transport looks policies up once a call, and a team may have hundreds of rules.
        parts = (self.name, self.rules, self.closed, self.https_only, self.open_local, self.any_port)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def public(cls, *, https_only: bool = True) -> EgressPolicy:
        """Public addresses only: the ground for what users register. Admins' rows may set `https_only=False`."""
        return cls(https_only=https_only)

    @classmethod
    def local(cls) -> EgressPolicy:
        """For scripts: loopback and private networks are open too, over http; metadata services stay closed."""
        return cls(name="local", https_only=False, open_local=True, any_port=True)

    def with_rules(self, *rules: EgressRule | str) -> EgressPolicy:
        """Answer this policy with more opened; text is read by `EgressRule.parse`."""
        return replace(self, rules=self.rules + _parsed(rules))

    def with_closed(self, *rules: EgressRule | str) -> EgressPolicy:
        """Answer this policy with more closed, whatever its rules open."""
        return replace(self, closed=self.closed + _parsed(rules))

    def check_url(self, url: str, *, allow_query: bool = True) -> ParsedOrigin:
        """Check all that can be known without resolving: for saving a row, and before every call.

        `allow_query=False` is for a base URL. Raises EgressDeniedError; the address check at connect time decides.
        """
        parsed = parse_url(url)
        if not allow_query and (parsed.query or "?" in url):
            raise EgressDeniedError("a base URL takes no query (?...)")
        if parsed.host in _METADATA_HOSTS:
            raise EgressDeniedError("the host is a cloud's metadata service")
        if parsed.address is not None:
            self.check_address(parsed.address, parsed.port, parsed.host)
        literal = None if parsed.address is None else _judged(parsed.address)[0]
        if self._opened(parsed.host, literal, parsed.port):
            return parsed
        if self.https_only and parsed.scheme != "https":
            raise EgressDeniedError("the endpoint must be called over https")
        if _is_loopback_name(parsed.host) and not self.open_local:
            raise EgressDeniedError("the host is this machine, and no endpoint policy opens it")
        if not any(rule.network for rule in self.rules):
            self._check_port(parsed.port)
        return parsed

    def check_address(self, ip: Address | str, port: int, host: str) -> None:
        """Check one address that `host` resolved to, at the moment of connecting; raises EgressDeniedError."""
        try:
            judged = _judged(ip if isinstance(ip, IPv4Address | IPv6Address) else ip_address(ip))
        except ValueError:
            raise EgressDeniedError("the host resolved to something that is no address") from None
        if any(_within(address, _METADATA) for address in judged):
            raise EgressDeniedError("the address is a cloud's metadata service")
        if any(rule.covers(host=host, address=address, port=port) for rule in self.closed for address in judged):
            raise EgressDeniedError("the address is closed by an endpoint policy")
        if self._opened(host, judged[0], port):
            return
        for address in judged:
            if not (_is_public(address) or (self.open_local and _within(address, _LOCAL))):
                raise EgressDeniedError("the address is not public, and no endpoint policy opens it")
        self._check_port(port)

    def names_host(self, host: str, port: int) -> bool:
        """Whether a rule opens `host` by its name: such a name is resolved as written, search domains included."""
        return any(rule.host is not None and rule.covers(host=host, address=None, port=port) for rule in self.rules)

    def _opened(self, host: str, address: Address | None, port: int) -> bool:
        return any(rule.covers(host=host, address=address, port=port) for rule in self.rules)

    def _check_port(self, port: int) -> None:
        if not self.any_port and port < 1024 and port not in (80, 443):
            raise EgressDeniedError("the port is not open: 80, 443 and those from 1024 up are")


def _parsed(rules: Iterable[EgressRule | str]) -> tuple[EgressRule, ...]:
    return tuple(EgressRule.parse(rule) if isinstance(rule, str) else rule for rule in rules)


def _is_loopback_name(host: str) -> bool:
    return host in ("localhost", "localhost.localdomain") or host.endswith(".localhost")
