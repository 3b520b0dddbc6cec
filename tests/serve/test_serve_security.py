"""Keys: shown once, hashed at rest, checked by argon2 once and off the event loop, and which requests need one."""

import asyncio
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgellm.errors import ConfigError, UsageError
from edgellm.serve import keys, security
from edgellm.serve.keys import Key
from edgellm.serve.security import BUSY, MISSING, NOT_ADMIN, WRONG, Admission, Gate, Keys, Rates
from edgellm.serve.settings import SecuritySettings, Values


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "keys.json"


@pytest.fixture
def verified(monkeypatch):
    """Texts that argon2 was asked for."""
    asked, real = [], security._matches

    def matches(hashed, text):
        asked.append(text)
        return real(hashed, text)

    monkeypatch.setattr(security, "_matches", matches)
    return asked


def other(key: str) -> str:
    """A wrong key with the same id."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def find(known: Keys, *texts: str):
    async def main():
        return [await known.find(text) for text in texts]

    return asyncio.run(main())


def request(path="/v1/models", authorization=(), method="GET"):
    headers = [(b"host", b"x"), *((b"authorization", value.encode("latin-1")) for value in authorization)]
    return {"type": "http", "method": method, "path": path, "headers": headers}


def ask(gate_of, *scopes):
    """What each request gets: the client's name where it comes through, else the status and the error."""
    got = []

    async def app(scope, receive, send):
        got.append(scope["state"]["client"])

    async def send(message):
        if message["type"] == "http.response.start":
            got.append((message["status"], dict(message["headers"])))
        else:
            got[-1] += (json.loads(message["body"])["error"],)

    async def main():
        gate = gate_of(app)
        for scope in scopes:
            await gate(scope, None, send)

    asyncio.run(main())
    return got


def test_a_key_is_nowhere_but_in_the_answer(file):
    made = keys.add(file, "kitchen", limit=60)
    assert keys.FORM.fullmatch(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert made not in text
    assert made[13:] not in text
    (key,) = keys.read(file)
    assert (key.name, key.id, key.limit, key.admin) == ("kitchen", made[4:12], 60, False)
    assert key.hash.startswith("$argon2id$")
    assert len({keys.add(file, f"k{n}") for n in range(3)}) == 3


def test_keys_are_removed_by_name(file):
    keys.add(file, "a")
    keys.add(file, "b", admin=True)
    keys.remove(file, "a")
    assert [(key.name, key.admin) for key in keys.read(file)] == [("b", True)]
    with pytest.raises(UsageError, match=r"keys\.json has no key named 'a': it has b$"):
        keys.remove(file, "a")


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "-a", "a\n"])
def test_names_of_keys(file, name):
    with pytest.raises(UsageError, match=r"is no name for a key: 1 to 64 letters, digits, '.', '_', '-'$"):
        keys.add(file, name)
    assert not file.exists()


def test_a_name_is_taken_once(file):
    keys.add(file, "a")
    with pytest.raises(UsageError, match=r"has a key named 'a': remove it first, or choose another name$"):
        keys.add(file, "a")
    with pytest.raises(UsageError, match=r"^--limit 0: must be at least 1 request a minute$"):
        keys.add(file, "b", limit=0)


def test_a_file_open_to_others_is_refused(file):
    keys.add(file, "a")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"has mode 0640, so that others may use it: chmod 600 "):
        keys.read(file)


def altered(file, **fields):
    table = json.loads(file.read_text())
    table["keys"][0].update(fields)
    file.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hash": "plain"}, "the hash of key 'a' is none of argon2: make the key anew"),
        ({"limit": -1}, "the limit of key 'a' is -1: must be at least 1, or null"),
        ({"limit": "x"}, "field keys.limit must be an integer"),
        ({"admin": 1}, "field keys.admin must be true or false"),
        ({"more": 1}, "unknown field keys.more"),
    ],
)
def test_a_damaged_file(file, fields, message):
    keys.add(file, "a")
    altered(file, **fields)
    with pytest.raises(ConfigError) as caught:
        keys.read(file)
    assert str(caught.value) == f"{file}: {message}"


def test_files_that_are_none(file):
    with pytest.raises(
        ConfigError, match=r"No such file or directory: make it with `edgellm keys add NAME`$"
    ):
        keys.read(file)
    keys.add(file, "a")
    keys.remove(file, "a")
    with pytest.raises(
        ConfigError, match=r"has no keys, so that nobody could use the service: edgellm keys add NAME$"
    ):
        Keys.of(file)
    file.write_text('{"version": 2, "keys": []}')
    with pytest.raises(ConfigError, match=r"field version is 2: this edgellm knows 1$"):
        keys.read(file)


def test_argon2_is_asked_once_a_key(file, verified):
    key = keys.add(file, "a")
    known = Keys.of(file)
    got = find(known, *[key] * 5, other(key), *[key] * 5)
    assert verified == [key]
    assert got[5] is WRONG
    assert all(one.name == "a" for one in got[:5] + got[6:])


def test_wrong_keys_cost_no_argon2_again(file, verified):
    key = keys.add(file, "a")
    known = Keys.of(file)
    unknown = "elm_" + "0" * 8 + "_" + "0" * 48
    assert find(known, unknown, "", "elm_", key + "x", "x" * 100_000, "\xff") == [WRONG] * 6
    assert verified == []
    assert find(known, other(key), other(key)) == [WRONG] * 2
    assert verified == [other(key)]


def test_requests_with_the_same_new_key_ask_together_and_a_flood_is_turned_away(file, verified):
    key = keys.add(file, "a")
    known = Keys.of(file)

    async def main():
        return await asyncio.gather(*(known.find(key) for _ in range(50)))

    assert {one.name for one in asyncio.run(main())} == {"a"}
    assert verified == [key]
    wrong = [f"{key[:13]}{number:048x}" for number in range(100)]
    known = Keys.of(file)

    async def flood():
        return await asyncio.gather(*(known.find(text) for text in wrong))

    got = asyncio.run(flood())
    assert got.count(BUSY) == 100 - security.MOST_WAITING
    assert len(verified) == 1 + security.MOST_WAITING


def test_the_event_loop_goes_on_while_argon2_works(file, monkeypatch):
    key = keys.add(file, "a")
    known = Keys.of(file)
    monkeypatch.setattr(security, "_matches", lambda hashed, text: time.sleep(0.2) or True)

    async def main():
        turns, finding = 0, asyncio.ensure_future(known.find(key))
        while not finding.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(main()) > 10


def test_one_who_leaves_does_not_take_the_check_along(file):
    key = keys.add(file, "a")
    known = Keys.of(file)

    async def main():
        first, second = (asyncio.ensure_future(known.find(key)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return (await second).name

    assert asyncio.run(main()) == "a"


def test_a_keys_name_is_the_client(file):
    key = keys.add(file, "kitchen")
    assert ask(lambda app: Gate(app, Admission(file)), request(authorization=[f"Bearer {key}"])) == [
        "kitchen"
    ]
    assert ask(lambda app: Gate(app, Admission(file)), request(authorization=[f"bearer  {key} "])) == [
        "kitchen"
    ]


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        ([], MISSING),
        (["Basic YTpi"], MISSING),
        (["Bearer"], WRONG),
        (["Bearer elm_1"], WRONG),
        (["Bearer a", "Bearer a"], MISSING),
        (["Bearer \xe4"], WRONG),
    ],
)
def test_refused_in_the_shape_of_openai(file, authorization, refusal):
    keys.add(file, "a")
    ((status, headers, error),) = ask(
        lambda app: Gate(app, Admission(file)), request(authorization=authorization)
    )
    assert status == 401
    assert headers[b"www-authenticate"] == b"Bearer"
    assert error == {
        "message": refusal.message,
        "type": "invalid_request_error",
        "param": None,
        "code": refusal.code,
    }


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/web/page.js"])
def test_open_without_a_key(file, path):
    keys.add(file, "a")
    assert ask(lambda app: Gate(app, Admission(file)), request(path)) == [""]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/models", "GET"),
        ("/v1/completions", "POST"),
        ("/metrics", "GET"),
        ("/admin/caches", "DELETE"),
        ("/version", "GET"),
        ("/openapi.json", "GET"),
        ("/live", "GET"),
        ("/", "POST"),
        ("/web/../admin", "GET"),
        ("//health", "GET"),
        ("/webx", "GET"),
        ("/HEALTH", "GET"),
    ],
)
def test_everything_else_needs_a_key(file, path, method):
    keys.add(file, "a")
    assert ask(lambda app: Gate(app, Admission(file)), request(path, method=method))[0][0] == 401


def test_administration_needs_an_administrators_key(file):
    plain, admin = keys.add(file, "plain"), keys.add(file, "boss", admin=True)
    scopes = [request("/admin/caches", [f"Bearer {key}"]) for key in (plain, admin)]
    (status, _, error), client = ask(lambda app: Gate(app, Admission(file)), *scopes)
    assert (status, error["code"], client) == (403, NOT_ADMIN.code, "boss")


def test_without_a_file_nothing_needs_a_key():
    assert ask(lambda app: Gate(app, Admission(None)), request("/v1/models"), request("/admin/x")) == ["", ""]


def test_a_limit_a_minute(file):
    key = keys.add(file, "slow", limit=2)
    got = ask(lambda app: Gate(app, Admission(file)), *[request(authorization=[f"Bearer {key}"])] * 3)
    assert got[:2] == ["slow", "slow"]
    status, headers, error = got[2]
    assert (status, headers[b"retry-after"], error["type"]) == (429, b"30", "rate_limit_error")
    assert error["message"] == "key slow may make 2 requests a minute"


def test_a_bucket_fills_evenly():
    now = [0.0]
    rates, key = Rates(lambda: now[0]), Key("a", "", "", "", 60)
    assert [rates.take(key) for _ in range(60)] == [0.0] * 60
    assert rates.take(key) == pytest.approx(1.0)
    now[0] = 0.25
    assert rates.take(key) == pytest.approx(0.75)
    now[0] = 1.0
    assert rates.take(key) == 0.0
    now[0] = 1_000.0
    assert [rates.take(key) for _ in range(61)] == [0.0] * 60 + [pytest.approx(1.0)]
    assert rates.take(Key("b", "", "", "")) == 0.0


def test_reload_takes_new_keys_and_forgets_old_ones(file):
    old = keys.add(file, "old")
    got = []

    async def app(scope, receive, send):
        got.append(scope["state"]["client"])

    async def send(message):
        got.append(message.get("status"))

    async def main():
        admission = Admission(file)
        gate = Gate(app, admission)
        await gate(request(authorization=[f"Bearer {old}"]), None, send)
        keys.remove(file, "old")
        with pytest.raises(ConfigError):
            admission.reload(file)
        new = keys.add(file, "new")
        admission.reload(file)
        await gate(request(authorization=[f"Bearer {new}"]), None, send)
        await gate(request(authorization=[f"Bearer {old}"]), None, send)

    asyncio.run(main())
    assert got[:3] == ["old", "new", 401]


@pytest.mark.parametrize(
    ("address", "well"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_beyond_this_machine_only_with_keys(address, well, file):
    values = Values(models=("m",))
    if well:
        security.check_exposed(values, address)
    else:
        with pytest.raises(
            ConfigError, match=r"needs API keys.*`edgellm keys add NAME` and give --keys FILE"
        ):
            security.check_exposed(values, address)
    security.check_exposed(values.model_copy(update={"security": SecuritySettings(keys=file)}), address)


def test_adding_in_parallel_loses_no_key(file):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: keys.add(file, f"k{n}"), range(8)))
    assert {key.name for key in keys.read(file)} == {f"k{n}" for n in range(8)}
