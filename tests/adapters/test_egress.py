"""Where a call may go: the adversarial URLs and addresses, what must stay usable, and what a rule opens."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.egress import EgressPolicy, EgressRule, embedded_ipv4, origin_of, parse_url
from adapters.errors import EgressDeniedError

PUBLIC = EgressPolicy.public()
ADMIN = EgressPolicy.public(https_only=False)  # an admin without any endpoint policy
LOCAL = EgressPolicy.local()

LOOPBACK = [
    "http://127.0.0.1/v1",
    "http://127.0.0.1:11434/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.127.127.127/",
    "http://0/",
    "http://0.0.0.0:8000/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.000.000.001/",
    "http://0177.0x0.0.1/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost.localdomain/",
    "http://foo.localhost/",
]
IPV6_FORMS = [
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[::7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[::1%25lo]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fd20:ce::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[::5efe:127.0.0.1]/",
    "http://[0000:0000:0000:0000:0000:ffff:7f00:0001]/",
]
PRIVATE = [
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.1.1/",
    "http://192.0.0.1/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://0xffffffff/",
    "http://4294967295/",
    "http://3232235777/",
]
METADATA = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/",
    "http://metadata.google.internal./",
    "http://METADATA.google.internal:80/",
    "http://instance-data/",
]
PARSER_CONFUSION = [
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://example.com:80@127.0.0.1:80/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://127.0.0.1#@example.com/",
    "http://example.com#@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "//127.0.0.1/",
    "http:///127.0.0.1/",
    "http://127.0.0.1%00.example.com/",
    "http://127.0.0.1%2f@example.com/",
    "http://127.0.0.1\t/",
    "http://127.0.\n0.1/",
    "\x01http://127.0.0.1/",
    " http://127.0.0.1/",
    "http://127.0.0.1/v1\r\nX-Evil:1",
    "http://[127.0.0.1]/",
    "http://[v1.127.0.0.1]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://loc\u00adalhost/",
    "http://127.0.0.1:٨٠/",
    "http://127.0.0.1:99999/",
    "https://" + "a" * 300 + ".com/",
    "https://.example.com/",
    "https://example.com../",
]
SCHEMES = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_INFO",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "ws://127.0.0.1/",
    "jar:http://127.0.0.1!/",
    "dict://127.0.0.1:11211/stats",
]
ADVERSARIAL = LOOPBACK + IPV6_FORMS + PRIVATE + METADATA + PARSER_CONFUSION + SCHEMES

MORE_CONFUSION = [
    "",
    "https://",
    "https:///v1",
    "https://api.openai.com:/v1",
    "https://api.openai.com:0/v1",
    "https://api.openai.com:443:443/",
    "https://api.openai.com/v1#x",
    "https://api.openai.com#",
    "https://api.openai.com?#",
    "https://user@api.openai.com/",
    "https://user:secret@api.openai.com:443/",
    "https://api.openai.com/../../admin",
    "https://api.openai.com/v1/%2e%2E/admin",
    "https://api.openai.com/v1/.",
    "https://api.openai.com/v1\x7f",
    "https://api.openai.com /v1",
    "https://-a.example.com/",
    "https://a-.example.com/",
    "https://a..example.com/",
    "https://" + "a" * 64 + ".example.com/",
    "https://*.example.com/",
    "https://a,b.example.com/",
    "https://1.2.3.4.5/",
    "https://example.0x7f/",
    "https://[::1/",
    "https://::1]/",
    "https://[]/",
    "https://[fe80::1%eth0]/",
]

VENDORS = [
    "https://api.openai.com/v1",
    "https://api.anthropic.com",
    "https://generativelanguage.googleapis.com/v1beta",
    "https://my-resource.openai.azure.com/openai",
    "https://my-resource.services.ai.azure.com/models",
    "https://us-central1-aiplatform.googleapis.com",
    "https://europe-west4-aiplatform.googleapis.com/v1",
    "https://aiplatform.googleapis.com",
    "https://bedrock-runtime.us-east-1.amazonaws.com",
    "https://bedrock-runtime.eu-central-1.amazonaws.com",
    "https://bedrock-runtime.ap-southeast-2.amazonaws.com",
    "https://api.mistral.ai/v1",
    "https://codestral.mistral.ai/v1",
    "https://api.groq.com/openai/v1",
    "https://api.deepseek.com/v1",
    "https://api.together.xyz/v1",
    "https://openrouter.ai/api/v1",
    "https://api.x.ai/v1",
    "https://api.cohere.com/v2",
    "https://api.perplexity.ai",
    "https://api.fireworks.ai/inference/v1",
    "https://api.moonshot.cn/v1",
    "https://api.moonshot.ai/v1",
    "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "https://open.bigmodel.cn/api/paas/v4",
    "https://api.siliconflow.cn/v1",
    "https://router.huggingface.co/v1",
    "https://api-inference.huggingface.co",
    "https://abc123.us-east-1.aws.endpoints.huggingface.cloud/v1/",
    "https://api.cerebras.ai/v1",
    "https://api.sambanova.ai/v1",
    "https://api.studio.nebius.com/v1",
    "https://integrate.api.nvidia.com/v1",
    "https://api.deepinfra.com/v1/openai",
    "https://api.minimax.io/v1",
    "https://ai-gateway.vercel.sh/v1",
    "https://gateway.ai.cloudflare.com/v1/account/gateway/openai",
    "https://models.inference.ai.azure.com",
    "https://[2606:4700::6810:1]/v1",
    "https://xn--bcher-kva.example/v1",
    "https://llm.example.com:8443/v1",
    "https://llm.example.com/team/a:b/v1",
    "https://8.8.8.8/v1",
    "HTTPS://API.OPENAI.COM/v1",
]
OPENED = [  # the URL, and the rule an admin made for it
    ("http://localhost:11434", "localhost:11434"),
    ("http://127.0.0.1/v1", "127.0.0.1"),
    ("http://127.0.0.1:11434/", "127.0.0.0/8:11434"),
    ("http://[::1]/", "[::1]"),
    ("http://host.docker.internal:11434", "host.docker.internal:11434|8000"),
    ("http://vllm.ns.svc.cluster.local:8000", "vllm.ns.svc.cluster.local"),
    ("http://my_service:8000/v1", "my_service:8000"),
    ("http://10.1.2.3:8000", "10.0.0.0/8:8000"),
    ("http://10.0.0.1/", "10.0.0.1"),
    ("http://172.16.0.1/", "172.16.0.0/12"),
    ("http://192.168.1.1/", "192.168.1.1:80"),
    ("http://[fd12::5]:8000", "[fd12::/64]:8000"),
    ("http://[fd12::5]:8000", "fd12::/64"),
    ("http://localhost:11434/v1", "http://localhost:11434"),
    ("http://[::ffff:10.0.0.1]/", "10.0.0.1"),
]


def test_the_table_of_adversarial_urls_is_whole() -> None:
    assert len(set(ADVERSARIAL)) == 119  # the 118 numbered cases; one of them is a pair


@pytest.mark.parametrize("url", ADVERSARIAL + MORE_CONFUSION)
@pytest.mark.parametrize("policy", [PUBLIC, ADMIN], ids=["user", "admin"])
def test_an_adversarial_url_is_refused_without_a_rule(policy: EgressPolicy, url: str) -> None:
    # `localhost` names need no resolver to be known; what is a name passes here and falls at its address
    with pytest.raises(EgressDeniedError):
        policy.check_url(url)


@pytest.mark.parametrize("url", [url for url in ADVERSARIAL if url.startswith("http://")])
def test_https_does_not_make_an_adversarial_url_pass(url: str) -> None:
    with pytest.raises(EgressDeniedError):
        PUBLIC.check_url("https" + url.removeprefix("http"))


@pytest.mark.parametrize("url", [*METADATA, "http://[fd00:ec2::254]/", "http://[64:ff9b::169.254.169.254]/"])
def test_no_rule_and_no_ground_opens_a_metadata_service(url: str) -> None:
    everything = LOCAL.with_rules(
        "0.0.0.0/0", "::/0", "metadata.google.internal", "instance-data", "169.254.169.254", "100.100.100.200"
    )
    with pytest.raises(EgressDeniedError):
        everything.check_url(url)


@pytest.mark.parametrize("url", VENDORS)
def test_a_vendors_url_passes_for_everybody(url: str) -> None:
    for policy in (PUBLIC, ADMIN, LOCAL):
        assert policy.check_url(url, allow_query=False).scheme == "https"


@pytest.mark.parametrize(("url", "rule"), OPENED)
def test_a_rule_opens_exactly_what_it_names(url: str, rule: str) -> None:
    opened = PUBLIC.with_rules(rule)
    assert opened.check_url(url).origin == origin_of(url)
    for other in ("http://localhost:6379", "http://127.0.0.9:6379", "http://10.9.9.9:6379", "http://[fd99::1]:6379"):
        with pytest.raises(EgressDeniedError):
            opened.check_url(other)


def test_a_host_rule_opens_the_addresses_of_its_host_alone() -> None:
    policy = PUBLIC.with_rules("ollama.internal:11434")
    policy.check_address("10.0.0.7", 11434, "ollama.internal")
    for host, port in (("evil.example", 11434), ("ollama.internal", 22)):
        with pytest.raises(EgressDeniedError):
            policy.check_address("10.0.0.7", port, host)


def test_what_is_closed_stays_closed_whatever_a_rule_opens() -> None:
    policy = PUBLIC.with_rules("10.0.0.0/8").with_closed("10.0.0.5:5432", "203.0.114.9")
    policy.check_address("10.0.0.5", 8000, "vllm")
    for address, port in (("10.0.0.5", 5432), ("203.0.114.9", 443), ("::ffff:10.0.0.5", 5432)):
        with pytest.raises(EgressDeniedError):
            policy.check_address(address, port, "vllm")


def test_local_opens_this_machine_and_private_networks_but_nothing_odd() -> None:
    for url in (
        "http://localhost:11434",
        "http://127.0.0.1:1",
        "http://10.0.0.1",
        "http://[::1]:8000",
        "http://[fd12::5]",
    ):
        LOCAL.check_url(url)
    for url in ("http://0.0.0.0", "http://224.0.0.1", "http://169.254.1.1", "http://[fe80::1]", "http://[::]"):
        with pytest.raises(EgressDeniedError):
            LOCAL.check_url(url)


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        ("https://h.example:1/", True),
        ("https://h.example:65535/", True),
        ("https://h.example:0/", False),
        ("https://h.example:65536/", False),
        ("https://h.example:99999/", False),
        ("https://h.example/" + "a" * (8192 - 18), True),
        ("https://h.example/" + "a" * (8193 - 18), False),
        (f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}/", True),
        (f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 62}/", False),
    ],
)
def test_ports_lengths_and_names_end_where_they_should(url: str, passes: bool) -> None:
    if passes:
        assert parse_url(url).scheme == "https"
    else:
        with pytest.raises(EgressDeniedError):
            parse_url(url)


@pytest.mark.parametrize(("port", "passes"), [(79, False), (80, True), (443, True), (1023, False), (1024, True)])
def test_of_the_low_ports_two_are_open(port: int, passes: bool) -> None:
    if passes:
        PUBLIC.check_address("8.8.8.8", port, "h.example")
        PUBLIC.check_url(f"https://h.example:{port}/")
        return
    with pytest.raises(EgressDeniedError):
        PUBLIC.check_address("8.8.8.8", port, "h.example")
    with pytest.raises(EgressDeniedError):
        PUBLIC.check_url(f"https://h.example:{port}/")


def test_a_base_url_takes_no_query() -> None:
    for url in ("https://api.openai.com/v1?key=k", "https://api.openai.com/v1?"):
        with pytest.raises(EgressDeniedError):
            PUBLIC.check_url(url, allow_query=False)


@pytest.mark.parametrize(
    "part",
    ["evil.com#", "evil.com/", "evil.com?", "x@evil.com", "x:y@evil.com:443/", "..", "%23", "x\n", "a" * 64],
)
def test_a_template_with_an_injected_part_never_reaches_another_host_unseen(part: str) -> None:
    url = f"https://{part}.openai.azure.com/openai"
    try:
        parsed = PUBLIC.check_url(url)
    except EgressDeniedError:
        return
    assert parsed.host == "evil.com"  # plainly that host by every parser, and keys are bound to this origin
    assert not parsed.origin.endswith("openai.azure.com:443")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com:443"),
        ("https://API.openai.com.:443/v1/x?y=1", "https://api.openai.com:443"),
        ("http://localhost:11434", "http://localhost:11434"),
        ("http://[0:0::1]/", "http://[::1]:80"),
    ],
)
def test_an_origin_has_one_spelling(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_path_and_query_are_handed_on_as_written() -> None:
    parsed = parse_url("https://h.example/a%2Fb/%3A:x?api-version=2024-10-21&q=%20")
    assert (parsed.path, parsed.query) == ("/a%2Fb/%3A:x", "api-version=2024-10-21&q=%20")


def test_a_refusal_does_not_repeat_the_url() -> None:
    for url in ("https://user:hunter2@api.openai.com/", "https://api.openai.com/#hunter2", "http://hunter2.local/"):
        with pytest.raises(EgressDeniedError) as caught:
            PUBLIC.check_url(url)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("api.openai.com/v1", "begin with http"),
        ("ftp://h.example/", "begin with http"),
        ("https:/h.example/", "begin with http"),
        ("HTTPS://h.example:x/", "can't be read"),
        ("https://h.example/a b", "white space"),
        ("https://h.example/\x7f", "white space"),
        ("https://h.example/é", "white space"),
        ("https://h.example\\@evil.example/", "backslash"),
        ("https://u@h.example/", "user name"),
        ("https://h.example/#x", "fragment"),
        ("https://h.example/x#@", "fragment"),
        ("https://h.example:!~/", "can't be read"),
        ("https:///", "can't be read"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_url(url: str, words: str) -> None:
    with pytest.raises(EgressDeniedError, match=words):
        parse_url(url)


def test_a_rule_is_for_a_host_or_for_a_network() -> None:
    for given_ in ({}, {"host": "h", "network": ip_network("10.0.0.0/8")}):
        with pytest.raises(ValueError, match="exactly one"):
            EgressRule(**given_)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("::127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:0:127.0.0.1", "127.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("64:ff9b:1::a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b:1:a9fe:a9:fe00::", "169.254.169.254"),  # RFC 6052 /48: 16 bits, the u octet, 16 bits
        ("64:ff9b:1:aa9:fe:a9fe::", "169.254.169.254"),  # /56: 8 bits, the u octet, 24 bits
        ("64:ff9b:1:a:a9:fea9:fe00:0", "169.254.169.254"),  # /64: the u octet, 32 bits
        ("64:ff9b:1:a:a9:fea9:fe00:1", "169.254.169.254"),
        ("2002:a9fe:a9fe::1", "169.254.169.254"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"),  # Teredo: the client, inverted
        ("2001:0:a9fe:a9fe:8000:63bf:3fff:fdd2", "169.254.169.254"),  # and the server
        ("2001:db8::5efe:10.0.0.1", "10.0.0.1"),
        ("2606:4700::200:5efe:10.0.0.1", "10.0.0.1"),
    ],
)
def test_every_embedded_ipv4_address_is_taken_out(address: str, inside: str) -> None:
    assert IPv4Address(inside) in embedded_ipv4(IPv6Address(address))


def test_the_loopback_address_embeds_nothing_and_the_next_one_does() -> None:
    assert embedded_ipv4(IPv6Address("::1")) == ()
    assert embedded_ipv4(IPv6Address("::2")) == (IPv4Address("0.0.0.2"),)


def test_nat64_reaches_public_hosts_and_no_others() -> None:
    PUBLIC.check_address("64:ff9b::8.8.8.8", 443, "api.openai.com")
    with pytest.raises(EgressDeniedError):
        PUBLIC.check_address("64:ff9b::10.0.0.1", 443, "api.openai.com")


@pytest.mark.parametrize(
    "text", ["", "a b", "http://u@h/", "10.0.0.0/33", "h:0", "h:70000", "[::1", "*.x", "1.2", "h:80:90"]
)
def test_a_rule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        EgressRule.parse(text)


def test_equal_policies_are_one_key() -> None:
    assert PUBLIC.with_rules("ollama:1") == EgressPolicy.public().with_rules("ollama:1")
    assert len({PUBLIC.with_rules("ollama:1"), EgressPolicy.public().with_rules("ollama:1"), PUBLIC}) == 2


@given(st.integers(0, 2**32 - 1))
def test_no_spelling_of_a_closed_ipv4_address_passes(value: int) -> None:
    address = IPv4Address(value)
    try:
        PUBLIC.check_address(address, 443, "h.example")
    except EgressDeniedError:
        low = f"{address}"
        for form in (f"::ffff:{low}", f"::{low}", f"::ffff:0:{low}", f"64:ff9b::{low}", f"64:ff9b:1::{low}"):
            with pytest.raises(EgressDeniedError):
                PUBLIC.check_address(ip_address(form), 443, "h.example")


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,30}(/.{0,20})?", fullmatch=True))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        parsed = parse_url(text)
    except EgressDeniedError:
        return
    assert parsed.host.isascii() and not set(parsed.host) & set("@#?/\\ %")
    again = parse_url(f"{parsed.origin}{parsed.path}" + (f"?{parsed.query}" if parsed.query else ""))
    assert again == parsed


def test_the_policy_for_scripts_opens_plain_http_and_every_port_at_home() -> None:
    for url in ("http://localhost:22/", "http://10.0.0.1:81/"):
        assert EgressPolicy.local().check_url(url)


def test_what_a_resolver_says_that_is_no_address_is_refused() -> None:
    with pytest.raises(EgressDeniedError, match="no address"):
        PUBLIC.check_address("not-an-address", 443, "h.example")


def test_a_host_is_named_by_a_rule_for_its_name_and_port_alone() -> None:
    policy = PUBLIC.with_rules("ollama:11434", "10.0.0.0/8")
    assert policy.names_host("ollama", 11434)
    assert not policy.names_host("ollama", 80) and not policy.names_host("other", 11434)
    assert not PUBLIC.with_rules("10.0.0.0/8").names_host("10.0.0.5", 80)


@pytest.mark.parametrize(("port", "passes"), [(1, True), (65535, True), (65536, False), (0, False)])
def test_a_rules_port_is_one_that_there_is(port: int, passes: bool) -> None:
    if passes:
        assert EgressRule.parse(f"h:{port}").ports == {port}
    else:
        with pytest.raises(ValueError, match="port"):
            EgressRule.parse(f"h:{port}")


def test_without_a_network_rule_a_low_port_of_a_name_is_refused_before_it_is_resolved() -> None:
    with pytest.raises(EgressDeniedError, match="port"):
        PUBLIC.with_rules("other.example").check_url("https://h.example:81/")
    assert PUBLIC.with_rules("10.0.0.0/8").check_url("https://h.example:81/")  # decided by the address it resolves to
